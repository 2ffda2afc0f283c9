/* SPDX-License-Identifier: MIT
 *
 * What the files of this module share: the table of options, and the state of reading one
 * configuration. Every problem names where its value came from ("restante.yaml:12" or
 * "RESTANTE_NODE_DOMAIN"), and reading goes on, so that one run shows them all.
 */
#ifndef RESTANTE_CONFIG_OPTION_H
#define RESTANTE_CONFIG_OPTION_H

#include "restante/config.h"

enum option_id {
#define OPTION(section, name, type, value, doc) OPTION_##section##_##name,
#include "restante/options.def"
#undef OPTION
	OPTION_COUNT
};

enum option_type {
	TYPE_TEXT,
	TYPE_PATH,
	TYPE_CHOICE,
	TYPE_INT,
	TYPE_SIZE,
	TYPE_DURATION,
	TYPE_BOOL,
	TYPE_LIST,
	TYPE_MAP,
};

struct option_kind {
	enum option_type type;
	const char *choices; /* of TYPE_CHOICE: "a|b|c" */
	int64_t min;	     /* of TYPE_INT */
	int64_t max;	     /* of TYPE_INT and TYPE_DURATION */
};

/* A row of options.def. */
struct option {
	const char *section;
	const char *name;
	struct option_kind kind;
	size_t offset; /* of its member in struct config */
	const char *value;
	const char *doc;
};

extern const struct option options[OPTION_COUNT];

struct reader {
	struct config *config;
	const char *folder; /* of the file, with a slash at its end, or "" */
	struct text *problems;
	bool failed;
	const char *where[OPTION_COUNT]; /* its value came from; NULL: the default */
};

void reader_problem(struct reader *reader, const char *where, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Sets the option from text: the form that defaults and environment variables have. Lists
 * are separated by commas, maps are name=value separated by commas. */
void value_set(struct reader *reader, enum option_id id, const char *where, const char *text);
void value_set_list(struct reader *reader, enum option_id id, const char *where,
		    const char *const *items, size_t n);
void value_set_map(struct reader *reader, enum option_id id, const char *where,
		   const struct config_pair *items, size_t n);

/* Splits at commas, without the spaces around them; NULL-ended. Empty text has no items. */
const char *const *text_split(struct arena *arena, const char *text, size_t *n_out);
/* Splits every "name=value"; false if one is not that. */
bool text_split_pairs(struct arena *arena, const char *text,
		      const struct config_pair **items_out, size_t *n_out);

/* What can only be judged when everything has been read: names, addresses, URLs, and
 * options that depend on each other. */
void config_check(struct reader *reader);

#endif

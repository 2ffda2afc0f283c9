/* SPDX-License-Identifier: MIT
 *
 * The configuration: one table (options.def) gives the struct, the parser, the defaults,
 * the environment variables and the commented example. Read once at start, constant after.
 */
#ifndef RESTANTE_CONFIG_H
#define RESTANTE_CONFIG_H

#include "restante/text.h"

struct config_pair {
	const char *name;
	const char *value;
};

struct config_list {
	const char *const *items; /* NULL-ended */
	size_t count;
};

struct config_map {
	const struct config_pair *items;
	size_t count;
};

/* One member per option, named <section>_<name>: TEXT, PATH and CHOICE are const char *
 * (never NULL), INT, SIZE and DURATION int64_t, BOOL bool, LIST struct config_list, MAP
 * struct config_map. */
struct config {
	struct arena *arena; /* owns everything below */
	const char *path;
#define TEXT					const char *
#define PATH					const char *
#define CHOICE(choices)				const char *
#define INT(min, max)				int64_t
#define SIZE					int64_t
#define DURATION				int64_t
#define DURATION_TO(days)			int64_t
#define BOOL					bool
#define LIST					struct config_list
#define MAP					struct config_map
#define OPTION(section, name, type, value, doc) type section##_##name;
#include "restante/options.def"
#undef OPTION
#undef TEXT
#undef PATH
#undef CHOICE
#undef INT
#undef SIZE
#undef DURATION
#undef DURATION_TO
#undef BOOL
#undef LIST
#undef MAP
};

/* Reads the file and the environment. On failure every problem that was found, with its
 * line, is in problems (one a line): unknown sections and options, wrong types, values out
 * of range, a missing or malformed domain, a certificate without a key. */
enum err config_load(const char *path, struct config *config_out,
		     struct text *problems) MUST_CHECK;
void config_free(struct config *config);

/* The example file: every option with its documentation and default, commented out, except
 * node.domain and what `given` names as "section.name". */
void config_print_example(struct text *out, const struct config_pair *given, size_t n_given);

#endif

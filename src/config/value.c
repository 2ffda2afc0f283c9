/* SPDX-License-Identifier: MIT
 *
 * The table of options, and how the text of a value becomes a member of struct config.
 */
#include "option.h"

#include "restante/clock.h"

#include <stdarg.h>
#include <stdio.h>

#define LONGEST_DURATION (36500 * DAYS_MS)

#define TEXT                                                                                   \
	{                                                                                      \
		.type = TYPE_TEXT                                                              \
	}
#define PATH                                                                                   \
	{                                                                                      \
		.type = TYPE_PATH                                                              \
	}
#define CHOICE(list)                                                                           \
	{                                                                                      \
		.type = TYPE_CHOICE, .choices = list                                           \
	}
#define INT(least, most)                                                                       \
	{                                                                                      \
		.type = TYPE_INT, .min = least, .max = most                                    \
	}
#define SIZE                                                                                   \
	{                                                                                      \
		.type = TYPE_SIZE                                                              \
	}
#define DURATION                                                                               \
	{                                                                                      \
		.type = TYPE_DURATION, .max = LONGEST_DURATION                                 \
	}
#define DURATION_TO(days)                                                                      \
	{                                                                                      \
		.type = TYPE_DURATION, .max = (days)*DAYS_MS                                   \
	}
#define BOOL                                                                                   \
	{                                                                                      \
		.type = TYPE_BOOL                                                              \
	}
#define LIST                                                                                   \
	{                                                                                      \
		.type = TYPE_LIST                                                              \
	}
#define MAP                                                                                    \
	{                                                                                      \
		.type = TYPE_MAP                                                               \
	}
#define OPTION(section, name, kind, value, doc)                                                \
	{#section, #name, kind, offsetof(struct config, section##_##name), value, doc},
const struct option options[OPTION_COUNT] = {
#include "restante/options.def"
};
#undef OPTION

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
	{"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {"G", 1024 * 1024 * 1024}, {NULL, 0},
};

static const struct unit duration_units[] = {
	{"ms", 1},	    {"s", 1000},	 {"m", 60 * 1000},
	{"h", 3600 * 1000}, {"d", 86400 * 1000}, {NULL, 0},
};

void reader_problem(struct reader *reader, const char *where, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	reader->failed = true;
	text_printf(reader->problems, "%s: %s\n", where, line);
}

/* Digits only; false for anything else and for what int64_t cannot hold. */
static bool parse_digits(const char *text, size_t len, int64_t *value_out)
{
	int64_t value = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' ||
		    __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, text[i] - '0', &value))
			return false;
	}
	*value_out = value;
	return true;
}

/* A positive number and a unit of the table, such as 64M or 15m. */
static bool parse_with_unit(const char *text, const struct unit *units, int64_t *value_out)
{
	size_t digits = strspn(text, "0123456789");
	int64_t value;

	if (!parse_digits(text, digits, &value) || value == 0)
		return false;
	for (; units->name != NULL; units++) {
		if (strcmp(text + digits, units->name) == 0)
			return !__builtin_mul_overflow(value, units->factor, value_out);
	}
	return false;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
		if (*at == '|')
			at++;
		if (strcspn(at, "|") == len && memcmp(at, text, len) == 0)
			return true;
	}
	return false;
}

static void *member(struct reader *reader, const struct option *option)
{
	return (char *)reader->config + option->offset;
}

static void set_text(struct reader *reader, const struct option *option, const char *text)
{
	*(const char **)member(reader, option) =
		arena_text(reader->config->arena, bytes_of_text(text));
}

static void set_path(struct reader *reader, const struct option *option, const char *text)
{
	bool stays = text[0] == '/' || text[0] == '\0';

	*(const char **)member(reader, option) =
		arena_printf(reader->config->arena, "%s%s", stays ? "" : reader->folder, text);
}

static void set_choice(struct reader *reader, const struct option *option, const char *where,
		       const char *text)
{
	if (!is_choice(option->kind.choices, text))
		reader_problem(reader, where, "%s.%s: \"%s\" is none of %s", option->section,
			       option->name, text, option->kind.choices);
	else
		set_text(reader, option, text);
}

static void set_int(struct reader *reader, const struct option *option, const char *where,
		    const char *text)
{
	int64_t value;

	if (!parse_digits(text, strlen(text), &value))
		reader_problem(reader, where, "%s.%s: \"%s\" is not a whole number",
			       option->section, option->name, text);
	else if (value < option->kind.min || value > option->kind.max)
		reader_problem(reader, where, "%s.%s: %s is not from %lld to %lld",
			       option->section, option->name, text, (long long)option->kind.min,
			       (long long)option->kind.max);
	else
		*(int64_t *)member(reader, option) = value;
}

static void set_size(struct reader *reader, const struct option *option, const char *where,
		     const char *text)
{
	int64_t value;

	if (!parse_with_unit(text, size_units, &value))
		reader_problem(reader, where,
			       "%s.%s: \"%s\" is not a size such as 4096, 96K, 4M or 1G",
			       option->section, option->name, text);
	else
		*(int64_t *)member(reader, option) = value;
}

static void set_duration(struct reader *reader, const struct option *option, const char *where,
			 const char *text)
{
	int64_t value;

	if (!parse_with_unit(text, duration_units, &value))
		reader_problem(reader, where,
			       "%s.%s: \"%s\" is not a duration such as 30s, 15m, 12h or 30d",
			       option->section, option->name, text);
	else if (value > option->kind.max)
		reader_problem(reader, where, "%s.%s: %s is more than %lldd", option->section,
			       option->name, text, (long long)(option->kind.max / DAYS_MS));
	else
		*(int64_t *)member(reader, option) = value;
}

static void set_bool(struct reader *reader, const struct option *option, const char *where,
		     const char *text)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		reader_problem(reader, where, "%s.%s: \"%s\" is neither true nor false",
			       option->section, option->name, text);
	else
		*(bool *)member(reader, option) = text[0] == 't';
}

void value_set_list(struct reader *reader, enum option_id id, const char *where,
		    const char *const *items, size_t n)
{
	const struct option *option = &options[id];

	for (size_t i = 0; i < n; i++) {
		if (items[i][0] == '\0') {
			reader_problem(reader, where, "%s.%s: an item is empty",
				       option->section, option->name);
			return;
		}
	}
	*(struct config_list *)member(reader, option) =
		(struct config_list){.items = items, .count = n};
}

void value_set_map(struct reader *reader, enum option_id id, const char *where,
		   const struct config_pair *items, size_t n)
{
	const struct option *option = &options[id];

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(items[i].name, items[j].name) == 0)
				reader_problem(reader, where, "%s.%s: %s is given twice",
					       option->section, option->name, items[i].name);
		}
	}
	*(struct config_map *)member(reader, option) =
		(struct config_map){.items = items, .count = n};
}

const char *const *text_split(struct arena *arena, const char *text, size_t *n_out)
{
	const char **items;
	size_t n = *text == '\0' ? 0 : 1;

	for (const char *c = text; *c != '\0'; c++)
		n += *c == ',';
	items = arena_array(arena, const char *, n + 1);
	for (size_t i = 0; i < n; i++) {
		const char *start = text + strspn(text, " ");
		const char *comma = start + strcspn(start, ",");
		const char *end = comma;

		while (end > start && end[-1] == ' ')
			end--;
		items[i] = arena_text(arena, bytes_of(start, (size_t)(end - start)));
		text = comma + 1;
	}
	*n_out = n;
	return items;
}

bool text_split_pairs(struct arena *arena, const char *text,
		      const struct config_pair **items_out, size_t *n_out)
{
	const char *const *parts = text_split(arena, text, n_out);
	struct config_pair *items = arena_array(arena, struct config_pair, *n_out);

	for (size_t i = 0; i < *n_out; i++) {
		size_t name = strcspn(parts[i], "=");

		if (name == 0 || parts[i][name] == '\0')
			return false;
		items[i].name = arena_text(arena, bytes_of(parts[i], name));
		items[i].value = parts[i] + name + 1;
	}
	*items_out = items;
	return true;
}

static void set_split_list(struct reader *reader, enum option_id id, const char *where,
			   const char *text)
{
	size_t n;
	const char *const *items = text_split(reader->config->arena, text, &n);

	value_set_list(reader, id, where, items, n);
}

static void set_split_map(struct reader *reader, enum option_id id, const char *where,
			  const char *text)
{
	const struct config_pair *items;
	size_t n;

	if (text_split_pairs(reader->config->arena, text, &items, &n))
		value_set_map(reader, id, where, items, n);
	else
		reader_problem(reader, where, "%s.%s: must be name=value,name=value",
			       options[id].section, options[id].name);
}

void value_set(struct reader *reader, enum option_id id, const char *where, const char *text)
{
	const struct option *option = &options[id];

	reader->where[id] = where;
	switch (option->kind.type) {
	case TYPE_TEXT:
		set_text(reader, option, text);
		break;
	case TYPE_PATH:
		set_path(reader, option, text);
		break;
	case TYPE_CHOICE:
		set_choice(reader, option, where, text);
		break;
	case TYPE_INT:
		set_int(reader, option, where, text);
		break;
	case TYPE_SIZE:
		set_size(reader, option, where, text);
		break;
	case TYPE_DURATION:
		set_duration(reader, option, where, text);
		break;
	case TYPE_BOOL:
		set_bool(reader, option, where, text);
		break;
	case TYPE_LIST:
		set_split_list(reader, id, where, text);
		break;
	case TYPE_MAP:
		set_split_map(reader, id, where, text);
		break;
	}
}

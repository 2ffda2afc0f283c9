/* SPDX-License-Identifier: MIT
 *
 * Writes the commented example that `restante init` leaves behind, from the same table
 * that reads it: what is written here can be read back.
 */
#include "option.h"

#define INDENT	"    "
#define COLUMNS 88

static const char head[] =
	"# Configuration of a Restante node. Lines that are commented out show the default.\n"
	"#\n"
	"# Sizes take K, M or G; durations take ms, s, m, h or d; paths are relative to the\n"
	"# folder of this file. An environment variable RESTANTE_<SECTION>_<NAME> overrides "
	"an\n"
	"# option: RESTANTE_LISTEN_PORT=8443. In it, lists are a,b and maps are "
	"name=value,name=value.\n"
	"# `restante check` says what is wrong.\n";

static const char *given_value(const struct option *option, const struct config_pair *given,
			       size_t n_given)
{
	size_t section = strlen(option->section);

	for (size_t i = 0; i < n_given; i++) {
		const char *name = given[i].name;

		if (strncmp(name, option->section, section) == 0 && name[section] == '.' &&
		    strcmp(name + section + 1, option->name) == 0)
			return given[i].value;
	}
	return NULL;
}

static const char *full_doc(struct arena *arena, const struct option *option)
{
	struct text text;

	if (option->kind.type == TYPE_INT)
		return arena_printf(arena, "%s From %lld to %lld.", option->doc,
				    (long long)option->kind.min, (long long)option->kind.max);
	if (option->kind.type != TYPE_CHOICE)
		return option->doc;
	text_init(&text, arena, strlen(option->doc) + strlen(option->kind.choices) + 32);
	text_printf(&text, "%s One of ", option->doc);
	for (const char *c = option->kind.choices; *c != '\0'; c++) {
		if (*c == '|')
			text_puts(&text, strchr(c + 1, '|') != NULL ? ", " : " or ");
		else
			text_add(&text, bytes_of(c, 1));
	}
	text_puts(&text, ".");
	return text.data;
}

/* The documentation as comment lines, broken between words. */
static void print_doc(struct text *out, const char *doc)
{
	size_t column = COLUMNS;

	while (*doc != '\0') {
		size_t word = strcspn(doc, " ");

		if (column + 1 + word > COLUMNS) {
			text_puts(out, column < COLUMNS ? "\n" INDENT "#" : INDENT "#");
			column = strlen(INDENT "#");
		}
		text_puts(out, " ");
		text_add(out, bytes_of(doc, word));
		column += 1 + word;
		doc += word;
		doc += strspn(doc, " ");
	}
	text_puts(out, "\n");
}

static bool is_plain(const char *text)
{
	return *text != '\0' &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-")] == '\0';
}

static void print_text(struct text *out, const char *text)
{
	if (is_plain(text))
		text_puts(out, text);
	else
		text_json_string(out, bytes_of_text(text));
}

static void print_list(struct text *out, const char *value)
{
	size_t n;
	const char *const *items = text_split(out->arena, value, &n);

	text_puts(out, "[");
	for (size_t i = 0; i < n; i++) {
		text_puts(out, i > 0 ? ", " : "");
		print_text(out, items[i]);
	}
	text_puts(out, "]");
}

static void print_map(struct text *out, const char *value)
{
	const struct config_pair *items = NULL;
	size_t n = 0;

	if (!text_split_pairs(out->arena, value, &items, &n))
		n = 0;
	text_puts(out, "{");
	for (size_t i = 0; i < n; i++) {
		text_puts(out, i > 0 ? ", " : "");
		print_text(out, items[i].name);
		text_puts(out, ": ");
		print_text(out, items[i].value);
	}
	text_puts(out, "}");
}

static void print_option(struct text *out, const struct option *option, const char *given)
{
	const char *value = given != NULL ? given : option->value;
	bool live = given != NULL || option == &options[OPTION_node_domain];

	print_doc(out, full_doc(out->arena, option));
	text_printf(out, INDENT "%s%s: ", live ? "" : "# ", option->name);
	if (option->kind.type == TYPE_LIST)
		print_list(out, value);
	else if (option->kind.type == TYPE_MAP)
		print_map(out, value);
	else
		print_text(out, value);
	text_puts(out, "\n");
}

void config_print_example(struct text *out, const struct config_pair *given, size_t n_given)
{
	const char *section = "";

	text_puts(out, head);
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		const struct option *option = &options[id];

		if (strcmp(section, option->section) != 0)
			text_printf(out, "\n%s:\n", option->section);
		else
			text_puts(out, "\n");
		section = option->section;
		print_option(out, option, given_value(option, given, n_given));
	}
}

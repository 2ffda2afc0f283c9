/* SPDX-License-Identifier: MIT
 *
 * Reads the configuration: defaults, then the YAML file, then the environment, then the
 * checks. The file has sections, sections have options, and nothing is deeper but the
 * items of a list or map; whatever is not in the table is a problem. Runs once, at start.
 */
#include "option.h"

#include "restante/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

#define ENV_PREFIX "RESTANTE_"

struct file {
	struct reader *reader;
	yaml_document_t *document;
};

static const char *node_where(const struct file *file, const yaml_node_t *node)
{
	return arena_printf(file->reader->config->arena, "%s:%zu", file->reader->config->path,
			    node->start_mark.line + 1);
}

/* The text of a scalar; NULL for anything else. */
static const char *node_text(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

/* A key without anything after its colon. */
static bool node_is_empty(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
	       node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Control characters would end up in logs, headers and names of files. */
static bool node_is_one_line(const yaml_node_t *node)
{
	for (size_t i = 0; i < node->data.scalar.length; i++) {
		if (node->data.scalar.value[i] < 0x20 || node->data.scalar.value[i] == 0x7f)
			return false;
	}
	return true;
}

/* The text of a scalar that can be a value; else says why not and returns NULL. */
static const char *value_text(const struct file *file, const struct option *option,
			      const yaml_node_t *node)
{
	const char *wrong = NULL;

	if (node_text(node) == NULL)
		wrong = "must be a single value";
	else if (!node_is_one_line(node))
		wrong = "must be one line without control characters";
	if (wrong == NULL)
		return node_text(node);
	reader_problem(file->reader, node_where(file, node), "%s.%s: %s", option->section,
		       option->name, wrong);
	return NULL;
}

static void read_list(const struct file *file, enum option_id id, const yaml_node_t *node)
{
	struct reader *reader = file->reader;
	const yaml_node_item_t *from;
	const char **items;
	size_t n;

	if (node->type != YAML_SEQUENCE_NODE) {
		reader_problem(reader, node_where(file, node), "%s.%s: must be a list: [a, b]",
			       options[id].section, options[id].name);
		return;
	}
	from = node->data.sequence.items.start;
	n = (size_t)(node->data.sequence.items.top - from);
	items = arena_array(reader->config->arena, const char *, n + 1);
	for (size_t i = 0; i < n; i++) {
		const char *text = value_text(file, &options[id],
					      yaml_document_get_node(file->document, from[i]));

		if (text == NULL)
			return;
		items[i] = arena_text(reader->config->arena, bytes_of_text(text));
	}
	value_set_list(reader, id, reader->where[id], items, n);
}

static void read_map(const struct file *file, enum option_id id, const yaml_node_t *node)
{
	struct reader *reader = file->reader;
	struct arena *arena = reader->config->arena;
	const yaml_node_pair_t *from;
	struct config_pair *items;
	size_t n;

	if (node->type != YAML_MAPPING_NODE) {
		reader_problem(reader, node_where(file, node),
			       "%s.%s: must be a map: {name: value}", options[id].section,
			       options[id].name);
		return;
	}
	from = node->data.mapping.pairs.start;
	n = (size_t)(node->data.mapping.pairs.top - from);
	items = arena_array(arena, struct config_pair, n);
	for (size_t i = 0; i < n; i++) {
		const char *name =
			value_text(file, &options[id],
				   yaml_document_get_node(file->document, from[i].key));
		const char *value =
			value_text(file, &options[id],
				   yaml_document_get_node(file->document, from[i].value));

		if (name == NULL || value == NULL)
			return;
		items[i].name = arena_text(arena, bytes_of_text(name));
		items[i].value = arena_text(arena, bytes_of_text(value));
	}
	value_set_map(reader, id, reader->where[id], items, n);
}

static void read_option(const struct file *file, enum option_id id, const yaml_node_t *node)
{
	const char *where = node_where(file, node);
	const char *text;

	if (file->reader->where[id] != NULL) {
		reader_problem(file->reader, where, "%s.%s is given twice", options[id].section,
			       options[id].name);
		return;
	}
	file->reader->where[id] = where;
	if (options[id].kind.type == TYPE_LIST && !node_is_empty(node)) {
		read_list(file, id, node);
	} else if (options[id].kind.type == TYPE_MAP && !node_is_empty(node)) {
		read_map(file, id, node);
	} else {
		text = value_text(file, &options[id], node);
		if (text != NULL)
			value_set(file->reader, id, where, text);
	}
}

static enum option_id option_find(const char *section, const char *name)
{
	size_t id = 0;

	while (id < OPTION_COUNT && (strcmp(options[id].section, section) != 0 ||
				     (name != NULL && strcmp(options[id].name, name) != 0)))
		id++;
	return (enum option_id)id;
}

static void read_section(const struct file *file, const char *section, const yaml_node_t *node)
{
	if (node_is_empty(node))
		return;
	if (node->type != YAML_MAPPING_NODE) {
		reader_problem(file->reader, node_where(file, node),
			       "section %s must hold options, each \"name: value\"", section);
		return;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(file->document, pair->key);
		const char *name = node_text(key);
		enum option_id id = name == NULL ? OPTION_COUNT : option_find(section, name);

		if (id < OPTION_COUNT)
			read_option(file, id,
				    yaml_document_get_node(file->document, pair->value));
		else
			reader_problem(file->reader, node_where(file, key),
				       "there is no option %s.%s", section, name ? name : "?");
	}
}

/* Was the section of this pair already there before it? */
static bool section_is_repeated(const struct file *file, const yaml_node_t *root,
				const yaml_node_pair_t *pair, const char *name)
{
	for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < pair; p++) {
		const char *other = node_text(yaml_document_get_node(file->document, p->key));

		if (other != NULL && strcmp(other, name) == 0)
			return true;
	}
	return false;
}

static void read_sections(const struct file *file, const yaml_node_t *root)
{
	if (node_is_empty(root))
		return;
	if (root->type != YAML_MAPPING_NODE) {
		reader_problem(file->reader, node_where(file, root),
			       "the file must hold sections, each \"name:\"");
		return;
	}
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(file->document, pair->key);
		const char *name = node_text(key);
		const char *where = node_where(file, key);

		if (name == NULL || option_find(name, NULL) == OPTION_COUNT)
			reader_problem(file->reader, where, "there is no section %s",
				       name ? name : "?");
		else if (section_is_repeated(file, root, pair, name))
			reader_problem(file->reader, where, "section %s is given twice", name);
		else
			read_section(file, name,
				     yaml_document_get_node(file->document, pair->value));
	}
}

static bool load_document(struct reader *reader, yaml_parser_t *parser,
			  yaml_document_t *document)
{
	const char *where;

	if (yaml_parser_load(parser, document))
		return true;
	where = arena_printf(reader->config->arena, "%s:%zu", reader->config->path,
			     parser->problem_mark.line + 1);
	reader_problem(reader, where, "%s",
		       parser->problem != NULL ? parser->problem : "not readable as YAML");
	return false;
}

/* The one document of the file; an empty file has none. */
static bool read_documents(struct reader *reader, yaml_parser_t *parser)
{
	yaml_document_t document;
	struct file file = {.reader = reader, .document = &document};
	const yaml_node_t *root;

	if (!load_document(reader, parser, &document))
		return false;
	root = yaml_document_get_root_node(&document);
	if (root != NULL)
		read_sections(&file, root);
	yaml_document_delete(&document);
	if (root == NULL)
		return true;
	if (!load_document(reader, parser, &document))
		return false;
	root = yaml_document_get_root_node(&document);
	if (root != NULL)
		reader_problem(reader, node_where(&file, root),
			       "a second document begins here; the file must be one");
	yaml_document_delete(&document);
	return true;
}

/* False if there was no reading it as YAML. */
static bool read_file(struct reader *reader)
{
	yaml_parser_t parser;
	FILE *stream = fopen(reader->config->path, "re");
	bool read;

	if (stream == NULL) {
		reader_problem(reader, reader->config->path, "%s", strerror(errno));
		return false;
	}
	if (!yaml_parser_initialize(&parser))
		fatal("config: out of memory");
	yaml_parser_set_input_file(&parser, stream);
	read = read_documents(reader, &parser);
	yaml_parser_delete(&parser);
	fclose(stream);
	return read;
}

/* RESTANTE_SECTION_NAME */
static const char *env_name(struct arena *arena, const struct option *option)
{
	char *name = arena_printf(arena, ENV_PREFIX "%s_%s", option->section, option->name);

	for (char *c = name; *c != '\0'; c++)
		*c = (char)toupper((unsigned char)*c);
	return name;
}

/* Does the variable (NAME=value) belong to a section? Other names that begin with RESTANTE_
 * are not ours to judge. */
static bool env_is_of_section(struct arena *arena, const char *variable)
{
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		struct option section = {.section = options[id].section, .name = ""};
		const char *prefix = env_name(arena, &section);

		if (strncmp(variable, prefix, strlen(prefix)) == 0)
			return true;
	}
	return false;
}

static void check_env_name(struct reader *reader, const char *variable)
{
	struct arena *arena = reader->config->arena;
	struct bytes name = bytes_of(variable, strcspn(variable, "="));

	if (strncmp(variable, ENV_PREFIX, strlen(ENV_PREFIX)) != 0 ||
	    !env_is_of_section(arena, variable))
		return;
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		if (bytes_equal(name, bytes_of_text(env_name(arena, &options[id]))))
			return;
	}
	reader_problem(reader, arena_text(arena, name), "the environment names no option");
}

static bool is_one_line(const char *text)
{
	for (; *text != '\0'; text++) {
		if (iscntrl((unsigned char)*text))
			return false;
	}
	return true;
}

static void read_environment(struct reader *reader)
{
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		const char *name = env_name(reader->config->arena, &options[id]);
		const char *value = getenv(name);

		if (value != NULL && is_one_line(value))
			value_set(reader, (enum option_id)id, name, value);
		else if (value != NULL)
			reader_problem(reader, name,
				       "must be one line without control characters");
	}
	for (char **variable = environ; *variable != NULL; variable++)
		check_env_name(reader, *variable);
}

static void set_defaults(struct reader *reader)
{
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		value_set(reader, (enum option_id)id, "default", options[id].value);
		reader->where[id] = NULL;
	}
}

static const char *folder_of(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? ""
			     : arena_text(arena, bytes_of(path, (size_t)(slash - path) + 1));
}

enum err config_load(const char *path, struct config *config_out, struct text *problems)
{
	struct config config = {.arena = arena_create()};
	struct reader reader = {
		.config = &config,
		.folder = folder_of(config.arena, path),
		.problems = problems,
	};

	config.path = arena_text(config.arena, bytes_of_text(path));
	set_defaults(&reader);
	if (read_file(&reader)) {
		read_environment(&reader);
		config_check(&reader);
	}
	if (reader.failed) {
		arena_destroy(&config.arena);
		return ERR_VALIDATION;
	}
	*config_out = config;
	return ERR_OK;
}

void config_free(struct config *config)
{
	arena_destroy(&config->arena);
}

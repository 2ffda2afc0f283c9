/* SPDX-License-Identifier: MIT
 *
 * The configuration: what is read from files and the environment, which problems are
 * reported and where, and that the example can be read back.
 */
#include "restante/config.h"

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char *folder;
	char *path;
	struct arena *arena;
	struct text problems;
	struct config config;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->folder = support_make_dir();
	f->arena = arena_create();
	f->path = arena_printf(f->arena, "%s/restante.yaml", f->folder);
	text_init(&f->problems, f->arena, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	config_free(&f->config);
	arena_destroy(&f->arena);
	support_remove_dir(&f->folder);
	free(f);
	return 0;
}

static void write_file(struct fixture *f, const char *content)
{
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Loads content, which must be good. */
static struct config *load(struct fixture *f, const char *content)
{
	write_file(f, content);
	assert_int_equal(config_load(f->path, &f->config, &f->problems), ERR_OK);
	assert_string_equal(f->problems.data, "");
	return &f->config;
}

/* Loads content, which must be refused with exactly these problems; a problem that begins
 * with a colon is preceded by the path of the file. */
static void refuse(struct fixture *f, const char *content, const char *const *problems)
{
	struct text wanted;

	text_init(&wanted, f->arena, 0);
	for (; *problems != NULL; problems++)
		text_printf(&wanted, "%s%s\n", **problems == ':' ? f->path : "", *problems);
	write_file(f, content);
	text_init(&f->problems, f->arena, 0);
	assert_int_equal(config_load(f->path, &f->config, &f->problems), ERR_VALIDATION);
	assert_string_equal(f->problems.data, wanted.data);
}
#define REFUSE(f, content, ...) refuse(f, content, (const char *const[]){__VA_ARGS__, NULL})

static void defaults_fill_what_is_not_given(void **state)
{
	struct fixture *f = *state;
	struct config *c = load(f, "node:\n  domain: example.org\n");

	assert_string_equal(c->path, f->path);
	assert_string_equal(c->node_domain, "example.org");
	assert_string_equal(c->node_data_dir, arena_printf(f->arena, "%s/data", f->folder));
	assert_string_equal(c->node_log_level, "info");
	assert_string_equal(c->listen_host, "");
	assert_string_equal(c->listen_certificate, "");
	assert_int_equal(c->listen_port, 443);
	assert_int_equal(c->listen_request_timeout, 30000);
	assert_int_equal(c->listen_max_connections_per_source, 256);
	assert_int_equal(c->listen_buffer_memory, 256 << 20);
	assert_string_equal(c->listen_metrics, "loopback");
	assert_int_equal(c->limits_content, 96 * 1024);
	assert_int_equal(c->limits_mailbox_life, INT64_C(30) * 86400 * 1000);
	assert_int_equal(c->accounts_password_memory, 64 * 1024 * 1024);
	assert_int_equal(c->federation_allow.count, 0);
	assert_int_equal(c->federation_hosts.count, 0);
	assert_false(c->federation_allow_private);
	assert_true(c->federation_receipts);
}

static void every_type_is_read(void **state)
{
	struct fixture *f = *state;
	struct config *c =
		load(f, "node:\n"
			"  domain: 'xn--bcher-kva.example'\n"
			"  data_dir: /var/lib/restante\n"
			"listen:\n"
			"  port: 8443\n"
			"  certificate: tls/chain.pem\n"
			"  key: tls/key.pem\n"
			"  cors_origins: [\"*\", https://chat.example.org]\n"
			"  trust_forwarded_for: true\n"
			"limits: {content: 1K, body: 2G, outbox_bytes: 4096}\n"
			"accounts:\n"
			"  registration: open\n"
			"federation:\n"
			"  hosts:\n"
			"    b.test: 127.0.0.1:8444\n"
			"    c.test: \"[::1]:8445\"\n"
			"  dns_servers: [127.0.0.1, '127.0.0.1:5353', '::1', '[::1]:53']\n"
			"  backoff_first: 250ms\n");

	assert_string_equal(c->node_domain, "xn--bcher-kva.example");
	assert_string_equal(c->node_data_dir, "/var/lib/restante");
	assert_string_equal(c->listen_key, arena_printf(f->arena, "%s/tls/key.pem", f->folder));
	assert_int_equal(c->listen_port, 8443);
	assert_int_equal(c->listen_cors_origins.count, 2);
	assert_string_equal(c->listen_cors_origins.items[1], "https://chat.example.org");
	assert_null(c->listen_cors_origins.items[2]);
	assert_true(c->listen_trust_forwarded_for);
	assert_int_equal(c->limits_content, 1024);
	assert_int_equal(c->limits_body, INT64_C(2) << 30);
	assert_int_equal(c->limits_outbox_bytes, 4096);
	assert_string_equal(c->accounts_registration, "open");
	assert_int_equal(c->federation_hosts.count, 2);
	assert_string_equal(c->federation_hosts.items[1].name, "c.test");
	assert_string_equal(c->federation_hosts.items[1].value, "[::1]:8445");
	assert_int_equal(c->federation_dns_servers.count, 4);
	assert_int_equal(c->federation_backoff_first, 250);
}

static void empty_sections_and_lists_are_allowed(void **state)
{
	struct config *c = load(*state, "node:\n"
					"  domain: a.test\n"
					"listen:\n"
					"federation:\n"
					"  allow:\n"
					"  deny: []\n"
					"  hosts:\n");

	assert_int_equal(c->federation_allow.count, 0);
	assert_int_equal(c->federation_deny.count, 0);
	assert_int_equal(c->federation_hosts.count, 0);
}

static void environment_overrides_the_file(void **state)
{
	struct fixture *f = *state;
	struct config *c;

	setenv("RESTANTE_NODE_DOMAIN", "env.test", 1);
	setenv("RESTANTE_NODE_DATA_DIR", "elsewhere", 1);
	setenv("RESTANTE_FEDERATION_DENY", "bad.test, .worse.test", 1);
	setenv("RESTANTE_FEDERATION_HOSTS", "b.test=127.0.0.1:1,c.test=127.0.0.1:2", 1);
	setenv("RESTANTE_FEDERATION_ALLOW", "", 1);
	setenv("RESTANTE_SOMETHING_ELSE", "is not ours", 1);
	c = load(f, "node: {domain: file.test}\nfederation: {allow: [x.test]}\n");
	assert_string_equal(c->node_domain, "env.test");
	assert_string_equal(c->node_data_dir,
			    arena_printf(f->arena, "%s/elsewhere", f->folder));
	assert_int_equal(c->federation_deny.count, 2);
	assert_string_equal(c->federation_deny.items[1], ".worse.test");
	assert_int_equal(c->federation_hosts.count, 2);
	assert_string_equal(c->federation_hosts.items[0].name, "b.test");
	assert_string_equal(c->federation_hosts.items[1].value, "127.0.0.1:2");
	assert_int_equal(c->federation_allow.count, 0);
}

static void environment_has_problems_too(void **state)
{
	setenv("RESTANTE_LISTEN_PORT", "https", 1);
	setenv("RESTANTE_FEDERATION_HOSTS", "b.test", 1);
	setenv("RESTANTE_FEDERATION_DENY", "a.test,", 1);
	setenv("RESTANTE_NODE_LOG_LEVEL", "in\nfo", 1);
	setenv("RESTANTE_STORE_URLS", "x", 1);
	REFUSE(*state, "node: {domain: a.test}\n",
	       "RESTANTE_NODE_LOG_LEVEL: must be one line without control characters",
	       "RESTANTE_LISTEN_PORT: listen.port: \"https\" is not a whole number",
	       "RESTANTE_FEDERATION_DENY: federation.deny: an item is empty",
	       "RESTANTE_FEDERATION_HOSTS: federation.hosts: must be name=value,name=value",
	       "RESTANTE_STORE_URLS: the environment names no option");
}

static int clear_environment(void **state)
{
	unsetenv("RESTANTE_NODE_DOMAIN");
	unsetenv("RESTANTE_NODE_DATA_DIR");
	unsetenv("RESTANTE_NODE_LOG_LEVEL");
	unsetenv("RESTANTE_LISTEN_PORT");
	unsetenv("RESTANTE_STORE_URLS");
	unsetenv("RESTANTE_FEDERATION_ALLOW");
	unsetenv("RESTANTE_FEDERATION_DENY");
	unsetenv("RESTANTE_FEDERATION_HOSTS");
	unsetenv("RESTANTE_SOMETHING_ELSE");
	return teardown(state);
}

static void every_problem_is_reported_with_its_line(void **state)
{
	REFUSE(*state,
	       "node:\n"
	       "  domain: Example.org\n"
	       "  colour: red\n"
	       "listen:\n"
	       "  port: 65536\n"
	       "  port: 443\n"
	       "  trust_forwarded_for: yes\n"
	       "  certificate: chain.pem\n"
	       "nodes:\n"
	       "  domain: a.test\n"
	       "accounts:\n"
	       "  registration: everyone\n"
	       "  max_devices: -1\n"
	       "limits:\n"
	       "  content: 96k\n"
	       "  mailbox_life: 30\n"
	       "  outbox_life: [7d]\n"
	       "federation:\n"
	       "  allow: a.test\n"
	       "  hosts: [a]\n",
	       ":3: there is no option node.colour",
	       ":5: listen.port: 65536 is not from 0 to 65535",
	       ":6: listen.port is given twice",
	       ":7: listen.trust_forwarded_for: \"yes\" is neither true nor false",
	       ":9: there is no section nodes",
	       ":12: accounts.registration: \"everyone\" is none of open|invite|closed",
	       ":13: accounts.max_devices: \"-1\" is not a whole number",
	       ":15: limits.content: \"96k\" is not a size such as 4096, 96K, 4M or 1G",
	       ":16: limits.mailbox_life: \"30\" is not a duration such as 30s, 15m, 12h or "
	       "30d",
	       ":17: limits.outbox_life: must be a single value",
	       ":19: federation.allow: must be a list: [a, b]",
	       ":20: federation.hosts: must be a map: {name: value}",
	       ":2: node.domain: \"Example.org\" is not a domain in lower case (ASCII form), "
	       "such as example.org",
	       ":8: listen.certificate needs listen.key");
}

static void values_that_do_not_fit_are_refused(void **state)
{
	REFUSE(*state,
	       "node: {domain: a.test}\n"
	       "limits:\n"
	       "  content: 0\n"
	       "  body: 99999999999999999999\n"
	       "  mailbox_bytes: 9999999999G\n"
	       "  mailbox_life: 99999999d\n"
	       "  outbox_life: 0s\n"
	       "  mailbox_items: 0x10\n",
	       ":3: limits.content: \"0\" is not a size such as 4096, 96K, 4M or 1G",
	       ":4: limits.body: \"99999999999999999999\" is not a size such as 4096, 96K, 4M "
	       "or 1G",
	       ":5: limits.mailbox_bytes: \"9999999999G\" is not a size such as 4096, 96K, 4M "
	       "or 1G",
	       ":6: limits.mailbox_life: 99999999d is more than 36500d",
	       ":7: limits.outbox_life: \"0s\" is not a duration such as 30s, 15m, 12h or 30d",
	       ":8: limits.mailbox_items: \"0x10\" is not a whole number");
}

static void what_waits_for_other_nodes_is_not_older_than_their_memory(void **state)
{
	struct config *c = load(*state, "node: {domain: a.test}\nlimits: {outbox_life: 30d}\n");

	assert_int_equal(c->limits_outbox_life, INT64_C(30) * 86400 * 1000);
	config_free(c);
	REFUSE(*state, "node: {domain: a.test}\nlimits: {outbox_life: 2592001s}\n",
	       ":2: limits.outbox_life: 2592001s is more than 30d");
}

static void options_must_agree(void **state)
{
	REFUSE(*state,
	       "node: {domain: a.test}\n"
	       "listen: {key: key.pem}\n"
	       "limits:\n"
	       "  body: 64K\n"
	       "federation:\n"
	       "  backoff_first: 2h\n",
	       ":2: listen.key needs listen.certificate",
	       ":4: limits.content is more than limits.body",
	       ":6: federation.backoff_first is more than federation.backoff_max");
}

static void names_urls_and_addresses_are_checked(void **state)
{
	REFUSE(*state,
	       "node:\n"
	       "  domain: a.test\n"
	       "  abuse_contact: abuse@a.test\n"
	       "listen:\n"
	       "  host: localhost\n"
	       "  cors_origins: [https://a.test/]\n"
	       "federation:\n"
	       "  url: http://a.test\n"
	       "  api_url: https://a.test:0\n"
	       "  allow: ['*.a.test']\n"
	       "  deny: [a..test]\n"
	       "  hosts: {b: 'x.test:1', c.test: x.test}\n"
	       "  dns_servers: [dns.test, '127.0.0.1:', '[::1']\n",
	       ":5: listen.host: \"localhost\" is not an IP address",
	       ":6: listen.cors_origins: \"https://a.test/\" is not * or an origin such as "
	       "https://chat.example.org",
	       ":3: node.abuse_contact: \"abuse@a.test\" is not a URL that begins with mailto: "
	       "or "
	       "https://",
	       ":8: federation.url: \"http://a.test\" is not https://HOST or https://HOST:PORT "
	       "without a path",
	       ":9: federation.api_url: \"https://a.test:0\" is not https://HOST or "
	       "https://HOST:PORT without a path",
	       ":10: federation.allow: \"*.a.test\" is not a domain such as example.org or "
	       ".example.org",
	       ":11: federation.deny: \"a..test\" is not a domain such as example.org or "
	       ".example.org",
	       ":12: federation.hosts: \"b\" is not a domain such as example.org",
	       ":12: federation.hosts: \"x.test\" is not HOST:PORT",
	       ":13: federation.dns_servers: \"dns.test\" is not ADDRESS or ADDRESS:PORT",
	       ":13: federation.dns_servers: \"127.0.0.1:\" is not ADDRESS or ADDRESS:PORT",
	       ":13: federation.dns_servers: \"[::1\" is not ADDRESS or ADDRESS:PORT");
}

static bool domain_is_taken(struct fixture *f, const char *domain)
{
	enum err err;

	write_file(f, arena_printf(f->arena, "node: {domain: '%s'}\n", domain));
	err = config_load(f->path, &f->config, &f->problems);
	if (err == ERR_OK)
		config_free(&f->config);
	return err == ERR_OK;
}

static char *repeat(struct arena *arena, const char *unit, size_t n, const char *end)
{
	struct text text;

	text_init(&text, arena, 0);
	for (size_t i = 0; i < n; i++)
		text_puts(&text, unit);
	text_puts(&text, end);
	return text.data;
}

static void domains_are_validated(void **state)
{
	struct fixture *f = *state;
	const char *good[] = {"a.test",
			      "xn--bcher-kva.example",
			      "1.2.3.test",
			      "a-b.c0",
			      repeat(f->arena, "a", 63, ".test"),
			      repeat(f->arena, "ab.", 83, "test")};
	const char *bad[] = {"localhost",
			     "A.test",
			     "a.test.",
			     ".a.test",
			     "a..test",
			     "-a.test",
			     "a-.test",
			     "a_b.test",
			     "b\xc3\xbc"
			     "cher.example",
			     "10.0.0.1",
			     "a.test:443",
			     "a b.test",
			     "a.test/",
			     repeat(f->arena, "a", 64, ".test"),
			     repeat(f->arena, "ab.", 84, "test")};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		if (!domain_is_taken(f, good[i]))
			fail_msg("%s was refused", good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (domain_is_taken(f, bad[i]))
			fail_msg("%s was taken", bad[i]);
	}
}

static void files_of_another_shape_are_refused(void **state)
{
	REFUSE(*state, "", ": node.domain is missing");
	REFUSE(*state, "just text\n", ":1: the file must hold sections, each \"name:\"",
	       ": node.domain is missing");
	REFUSE(*state, "node:\n  - domain\n",
	       ":2: section node must hold options, each \"name: value\"",
	       ": node.domain is missing");
	REFUSE(*state, "node:\n  domain: [\n", ":3: did not find expected node content");
	REFUSE(*state, "node: {domain: a.test}\nnode: {domain: b.test}\n",
	       ":2: section node is given twice");
	REFUSE(*state, "node: {domain: a.test}\n---\nnode: {domain: b.test}\n",
	       ":3: a second document begins here; the file must be one");
	REFUSE(*state, "[node]: {domain: a.test}\n", ":1: there is no section ?",
	       ": node.domain is missing");
	REFUSE(*state, "node: {domain: a.test, data_dir: \"a\\0b\"}\n",
	       ":1: node.data_dir: must be one line without control characters");
	REFUSE(*state,
	       "node: {domain: a.test}\nfederation: {hosts: {b.test: 10.0.0.1:1, b.test: "
	       "10.0.0.2:1}}\n",
	       ":2: federation.hosts: b.test is given twice");
}

static void a_missing_file_is_a_problem(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_load(f->path, &f->config, &f->problems), ERR_VALIDATION);
	assert_string_equal(f->problems.data,
			    arena_printf(f->arena, "%s: No such file or directory\n", f->path));
}

static void the_example_can_be_read_back(void **state)
{
	struct fixture *f = *state;
	const struct config_pair given[] = {
		{"node.domain", "example.org"},
		{"listen.certificate", "a folder/chain \"1\".pem"},
		{"listen.key", "key.pem"},
		{"federation.deny", "bad.test,.worse.test"},
		{"federation.hosts", "b.test=127.0.0.1:1,c.test=127.0.0.1:2"},
	};
	struct text example;
	struct config *c;

	text_init(&example, f->arena, 0);
	config_print_example(&example, given, sizeof given / sizeof *given);
	c = load(f, example.data);
	assert_string_equal(c->node_domain, "example.org");
	assert_string_equal(c->listen_certificate,
			    arena_printf(f->arena, "%s/a folder/chain \"1\".pem", f->folder));
	assert_int_equal(c->federation_deny.count, 2);
	assert_int_equal(c->federation_hosts.count, 2);
	assert_string_equal(c->federation_hosts.items[1].value, "127.0.0.1:2");
	assert_non_null(strstr(example.data,
			       "\n    # Least level that is logged. One of debug, "
			       "info, warn or error.\n    # log_level: info\n"));
	assert_non_null(strstr(example.data, "\n    domain: example.org\n"));
}

/* What is commented out in the example is the default, and can be read. */
static void the_example_shows_the_defaults(void **state)
{
	struct fixture *f = *state;
	const struct config_pair given[] = {{"node.domain", "example.org"}};
	struct text example;
	struct text open;

	text_init(&example, f->arena, 0);
	text_init(&open, f->arena, 0);
	config_print_example(&example, given, 1);
	for (char *line = strtok(example.data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		size_t name = strspn(line, " #");

		name += strspn(line + name, "abcdefghijklmnopqrstuvwxyz_");
		if (strncmp(line, "    # ", 6) == 0 && line[name] == ':')
			line = arena_printf(f->arena, "    %s", line + 6);
		text_printf(&open, "%s\n", line);
	}
	load(f, open.data);
	assert_int_equal(f->config.listen_port, 443);
	assert_int_equal(f->config.federation_backoff_first, 5000);
	assert_string_equal(f->config.listen_certificate, "");
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, clear_environment)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(defaults_fill_what_is_not_given),
		CONFIG_TEST(every_type_is_read),
		CONFIG_TEST(empty_sections_and_lists_are_allowed),
		CONFIG_TEST(environment_overrides_the_file),
		CONFIG_TEST(environment_has_problems_too),
		CONFIG_TEST(every_problem_is_reported_with_its_line),
		CONFIG_TEST(values_that_do_not_fit_are_refused),
		CONFIG_TEST(what_waits_for_other_nodes_is_not_older_than_their_memory),
		CONFIG_TEST(options_must_agree),
		CONFIG_TEST(names_urls_and_addresses_are_checked),
		CONFIG_TEST(domains_are_validated),
		CONFIG_TEST(files_of_another_shape_are_refused),
		CONFIG_TEST(a_missing_file_is_a_problem),
		CONFIG_TEST(the_example_can_be_read_back),
		CONFIG_TEST(the_example_shows_the_defaults),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

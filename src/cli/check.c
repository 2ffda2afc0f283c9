/* SPDX-License-Identifier: MIT
 *
 * restante check: everything that can be found wrong before serving. Changes nothing.
 */
#include "cli.h"

#include "restante/certificate.h"
#include "restante/clock.h"
#include "restante/node.h"

#include <stdio.h>
#include <unistd.h>

#define RENEWAL_DUE_MS (14 * DAYS_MS)

/* One line for each thing that was looked at; true where it is good. */
static bool report(const char *what, bool good, const char *detail)
{
	printf("%-14s %s%s%s\n", what, good ? "ok" : "WRONG", detail[0] != '\0' ? ": " : "",
	       detail);
	return good;
}

static void warn(const char *what, const char *detail)
{
	printf("%-14s WARNING: %s\n", what, detail);
}

static bool check_file(const char *what, const char *path)
{
	if (path[0] == '\0')
		return report(what, true, "none; plain HTTP for a proxy in front");
	return report(what, access(path, R_OK) == 0, path);
}

static bool check_times(const struct certificate *certificate, struct arena *arena)
{
	int64_t now_ms = clock_now_ms();
	char text[DATE_SIZE];

	if (now_ms < certificate->begins_ms)
		return report("TLS", false,
			      arena_printf(arena, "the certificate begins on %s",
					   cli_date(certificate->begins_ms, text)));
	if (now_ms > certificate->ends_ms)
		return report("TLS", false,
			      arena_printf(arena, "the certificate has expired on %s",
					   cli_date(certificate->ends_ms, text)));
	if (certificate->ends_ms - now_ms < RENEWAL_DUE_MS)
		warn("TLS", arena_printf(arena, "the certificate expires on %s",
					 cli_date(certificate->ends_ms, text)));
	return true;
}

/* Which of the names others expect depends on DNS (docs/federation.md): the domain where
 * there is an SRV record, else the host of federation.url. */
static bool check_names(const struct certificate *certificate, struct arena *arena,
			const char *domain, const char *host)
{
	if (!certificate->is_for_domain && !certificate->is_for_host)
		return report("TLS", false,
			      arena_printf(arena, "the certificate is not for %s", domain));
	if (!certificate->is_for_domain)
		warn("TLS", arena_printf(arena,
					 "the certificate is not for %s: publish no SRV "
					 "record",
					 domain));
	if (!certificate->is_for_host)
		warn("TLS", arena_printf(arena,
					 "the certificate is not for %s: publish an SRV "
					 "record",
					 host));
	return true;
}

static bool check_tls(const struct config *config, struct arena *arena)
{
	struct certificate certificate;
	char host[DOMAIN_SIZE];
	const char *reason;
	int port;
	bool good = check_file("certificate", config->listen_certificate);

	good &= check_file("private key", config->listen_key);
	if (!good || config->listen_certificate[0] == '\0')
		return good;
	if (cli_service(config, host, &port) != ERR_OK)
		return false;
	if (certificate_check(config->listen_certificate, config->listen_key,
			      config->node_domain, host, &certificate, &reason) != ERR_OK)
		return report("TLS", false, reason);
	return check_times(&certificate, arena) &&
	       check_names(&certificate, arena, config->node_domain, host);
}

static bool check_keys(const struct config *config, struct arena *arena)
{
	struct own_document own;
	struct node_keys keys;
	struct text phases;
	enum err err = node_keys_plan(config, arena, &keys, &own);
	bool good = err == ERR_OK;

	text_init(&phases, arena, 64);
	for (size_t i = 0; i < own.n_keys && good; i++)
		text_printf(&phases, "%s%s %s", i > 0 ? ", " : "", own.keys[i].kid,
			    cli_key_phase(arena, &own, i));
	text_puts(&phases, good ? "" : err_code(err));
	good = report("server keys", good, phases.data);
	if (good)
		report("root key", true, keys.has_root ? "public part known" : "none");
	err = node_secrets_load(config->node_data_dir, &keys);
	good &= report("secrets", err == ERR_OK,
		       err == ERR_OK	      ? ""
		       : err == ERR_NOT_FOUND ? "one is missing; take it from the backup, or "
						"restante serve makes a new one"
					      : err_code(err));
	node_keys_wipe(&keys);
	return good;
}

static bool check_store(const struct config *config, struct arena *arena)
{
	struct store_config store;
	struct text problems;
	enum err err;

	node_store_config(config, &store);
	text_init(&problems, arena, 256);
	err = store_check(&store, &problems);
	if (err != ERR_OK && problems.len == 0)
		text_puts(&problems, err_code(err));
	return report("database", err == ERR_OK, problems.data);
}

int cli_check(const struct options *options)
{
	struct config config;
	struct arena *arena;
	bool good;

	if (!cli_config(options, &config))
		return 1;
	arena = arena_create();
	good = report("configuration", true, config.path);
	good &= check_tls(&config, arena);
	if (config.federation_ca_file[0] != '\0')
		good &= check_file("authorities", config.federation_ca_file);
	good &= check_keys(&config, arena);
	good &= check_store(&config, arena);
	arena_destroy(&arena);
	config_free(&config);
	return good ? 0 : 1;
}

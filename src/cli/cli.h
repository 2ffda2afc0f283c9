/* SPDX-License-Identifier: MIT
 *
 * The commands of the program. Each returns the exit status: 0 good, 1 it failed, 2 the
 * words were wrong.
 */
#ifndef CLI_H
#define CLI_H

#include "restante/config.h"
#include "restante/federation.h"
#include "restante/store.h"

#define DEFAULT_CONFIG "restante.yaml"

struct options {
	const char *config;
	const char *domain;
	const char *dir;
	const char *days;
	const char *kid;
	const char *root;
	const char *new_root;
	const char *word, *second; /* those without a dash */
};

int cli_init(const struct options *options);
int cli_serve(const struct options *options);
int cli_check(const struct options *options);
int cli_dns(const struct options *options);
int cli_invite(const struct options *options);
int cli_restored(const struct options *options);
int cli_store_copy(const struct options *options);
int cli_peer_list(const struct options *options);
int cli_peer_show(const struct options *options);
int cli_peer_repin(const struct options *options);
int cli_peer_block(const struct options *options);
int cli_peer_allow(const struct options *options);
int cli_peer_flush(const struct options *options);
int cli_key_list(const struct options *options);
int cli_key_rotate(const struct options *options);
int cli_key_revoke(const struct options *options);
int cli_key_sign(const struct options *options);
int cli_key_root(const struct options *options);

/* Loads the configuration or prints what is wrong with it to stderr. */
bool cli_config(const struct options *options, struct config *config_out);
/* Where others reach this node, which is not where it listens behind a proxy. */
enum err cli_service(const struct config *config, char host_out[DOMAIN_SIZE],
		     int *port_out) MUST_CHECK;

/* Does one operation on the database, which must be there. Works beside a running node, for
 * the database lets two write. */
enum err cli_store(const struct config *config, struct store_op *op,
		   enum store_kind kind) MUST_CHECK;

#define DATE_SIZE 32
const char *cli_date(int64_t ms, char out[DATE_SIZE]);

/* Of a key in own->document: "signs", "from DATE", "until DATE", "ended". */
const char *cli_key_phase(struct arena *arena, const struct own_document *own, size_t i);
/* Its TXT record, as a line of a zone file. */
void cli_print_txt(const struct own_document *own, size_t i);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Several processes on one database, as several stores in one program: each has a data folder
 * of its own, and serves. Helpers of contract.h and mail.h take one of them.
 */
#ifndef TEST_STORE_CLUSTER_H
#define TEST_STORE_CLUSTER_H

#include "mail.h"

#define CLUSTER_MAX 3

struct cluster {
	struct contract at[CLUSTER_MAX]; /* one arena and one schema for all */
};

static UNUSED void cluster_open(struct cluster *cluster, size_t i)
{
	contract_open(&cluster->at[i]);
}

static UNUSED void cluster_close(struct cluster *cluster, size_t i)
{
	store_close(&cluster->at[i].store);
}

static UNUSED void cluster_add(struct cluster *cluster, size_t i, const char *url)
{
	struct contract *contract = &cluster->at[i];

	contract->dir = support_make_dir();
	contract->inbox = inbox_create(1, NULL, NULL);
	contract->arena = cluster->at[0].arena;
	snprintf(contract->url, sizeof contract->url, "%s", url);
	contract_config(&contract->config, contract->dir);
	contract->config.url = contract->url;
	contract->config.serves = true;
}

/* cmocka: two processes that serve, and a third that has not begun. */
static UNUSED int cluster_setup(void **state)
{
	struct cluster *cluster = calloc(1, sizeof *cluster);
	char url[sizeof cluster->at[0].url];

	crypto_init();
	contract_now = CONTRACT_START;
	cluster->at[0].arena = arena_create();
	contract_make_schema(getenv("RESTANTE_TEST_STORE"), url, sizeof url);
	for (size_t i = 0; i < CLUSTER_MAX; i++)
		cluster_add(cluster, i, url);
	cluster_open(cluster, 0);
	cluster_open(cluster, 1);
	*state = cluster;
	return 0;
}

static UNUSED int cluster_teardown(void **state)
{
	struct cluster *cluster = *state;

	for (size_t i = 0; i < CLUSTER_MAX; i++) {
		cluster_close(cluster, i);
		inbox_destroy(&cluster->at[i].inbox);
		support_remove_dir(&cluster->at[i].dir);
	}
	arena_destroy(&cluster->at[0].arena);
	free(cluster);
	return 0;
}

/* SQL beside the stores, which stay open. */
static UNUSED void cluster_execute(const struct cluster *cluster, const char *sql)
{
	contract_execute_postgres(cluster->at[0].url, sql);
}

/* One number. */
static UNUSED int64_t cluster_ask(const struct cluster *cluster, const char *sql)
{
	PGconn *conn = PQconnectdb(cluster->at[0].url);
	PGresult *result = PQexec(conn, sql);
	int64_t answer;

	assert_int_equal(PQntuples(result), 1);
	answer = atoll(PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(conn);
	return answer;
}

/* Accounts that have accepted each other. */
static UNUSED void cluster_acquaint(struct contract *contract, const struct contract_device *a,
				    const struct contract_device *b)
{
	contract_consent(contract, a, b->address.text, CONSENT_ACCEPTED);
	contract_consent(contract, b, a->address.text, CONSENT_ACCEPTED);
}

#endif

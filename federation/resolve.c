/* SPDX-License-Identifier: MIT
 *
 * DNS questions of the federation thread: absolute names only, never the search domains or
 * /etc/hosts of the machine. The raw answers are read by dns.c. Each query frees itself
 * once its done() was called.
 */
#include "dns.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>

#define QUERY_PACKET 1232
#define NAME_MAX_LEN (DOMAIN_SIZE + 16)

struct query;

/* One question on its way; a query for addresses has two. */
struct question {
	struct query *query;
	int type;
	bool plain; /* without EDNS */
	enum resolve_outcome outcome;
};

struct query {
	struct loop_task task;
	struct loop *loop;
	char name[NAME_MAX_LEN];
	struct question questions[2];
	unsigned waiting;
	void *context;
	void (*srv_done)(void *context, const struct srv_answer *answer);
	void (*host_done)(void *context, const struct host_answer *answer);
	void (*txt_done)(void *context, enum resolve_outcome outcome,
			 const struct txt_answer *answer);
	struct srv_answer srv;
	struct host_answer v4, v6;
	struct txt_answer txt;
};

/* By turns, IPv6 first: when one of them does not work here, the next try is the other. */
static void merge_addresses(const struct query *query, struct host_answer *out)
{
	const struct host_answer *lists[2] = {&query->v6, &query->v4};
	size_t at[2] = {0, 0};

	for (unsigned turn = 0; out->count < TARGET_ADDRESSES_MAX; turn++) {
		unsigned i = turn % 2;

		if (at[0] == lists[0]->count && at[1] == lists[1]->count)
			break;
		if (at[i] < lists[i]->count)
			memcpy(out->addresses[out->count++], lists[i]->addresses[at[i]++],
			       sizeof out->addresses[0]);
	}
}

static void host_finish(const struct query *query)
{
	struct host_answer answer = {.outcome = RESOLVE_NONE};

	merge_addresses(query, &answer);
	for (size_t i = 0; i < 2; i++)
		if (query->questions[i].outcome == RESOLVE_TRANSIENT)
			answer.outcome = RESOLVE_TRANSIENT;
	if (answer.count > 0)
		answer.outcome = RESOLVE_FOUND;
	query->host_done(query->context, &answer);
}

static void query_finish(struct loop_task *task)
{
	struct query *query = (struct query *)task;
	bool trusted = loop_dns_is_trusted(query->loop);

	if (loop_is_closing(query->loop)) {
		free(query);
		return;
	}
	query->srv.validated = query->srv.validated && trusted;
	query->txt.validated = query->txt.validated && trusted;
	if (query->srv_done != NULL)
		query->srv_done(query->context, &query->srv);
	else if (query->txt_done != NULL)
		query->txt_done(query->context, query->questions[0].outcome, &query->txt);
	else
		host_finish(query);
	free(query);
}

static enum resolve_outcome answer_read(struct query *query, int type, struct bytes raw)
{
	switch (type) {
	case ns_t_srv:
		return dns_read_srv(raw, query->name, &query->srv);
	case ns_t_txt:
		return dns_read_txt(raw, query->name, &query->txt);
	case ns_t_a:
		return dns_read_addresses(raw, query->name, type, &query->v4);
	default:
		return dns_read_addresses(raw, query->name, type, &query->v6);
	}
}

static void question_fail(struct question *question, enum resolve_outcome outcome)
{
	question->outcome = outcome;
	question->query->srv.outcome = outcome;
	question->query->txt.failed = outcome == RESOLVE_TRANSIENT;
}

/* RFC 6891 section 7: FORMERR without an OPT record is from a server that does not know EDNS.
 * c-ares asks again by itself, but only the first time that it sees one. */
static bool needs_plain(const struct question *question, struct bytes raw)
{
	return !question->plain && raw.len >= 12 && (raw.data[3] & 0x0f) == ns_r_formerr &&
	       raw.data[10] == 0 && raw.data[11] == 0;
}

static void question_send(struct question *question);

static void question_answered(void *arg, int status, int timeouts, unsigned char *data, int len)
{
	struct question *question = arg;
	struct query *query = question->query;

	(void)timeouts;
	if (status == ARES_SUCCESS && needs_plain(question, bytes_of(data, (size_t)len))) {
		question->plain = true;
		question_send(question);
		return;
	}
	if (status == ARES_SUCCESS)
		question->outcome =
			answer_read(query, question->type, bytes_of(data, (size_t)len));
	else
		question_fail(question, RESOLVE_TRANSIENT);
	log_debug(discovery, "query=%s type=%d status=%s outcome=%d", query->name,
		  question->type, log_quote(ares_strerror(status)), (int)question->outcome);
	if (--query->waiting == 0)
		loop_defer(query->loop, &query->task);
}

static void question_send(struct question *question)
{
	struct query *query = question->query;
	unsigned char *packet;
	unsigned short id;
	int len, status;

	/* ares_send() takes the id as it is: it has to be one that nobody guesses. */
	crypto_random(&id, sizeof id);
	status = ares_create_query(query->name, ns_c_in, question->type, id, 1, &packet, &len,
				   question->plain ? 0 : QUERY_PACKET);
	if (status != ARES_SUCCESS) {
		/* A name that is too long does not exist. */
		question_fail(question,
			      status == ARES_EBADNAME ? RESOLVE_NONE : RESOLVE_TRANSIENT);
		if (--query->waiting == 0)
			loop_defer(query->loop, &query->task);
		return;
	}
	packet[3] |= 0x20; /* AD: say whether DNSSEC has validated it (RFC 6840 section 5.7) */
	ares_send(loop_ares(query->loop), packet, len, question_answered, question);
	ares_free_string(packet);
}

static void ask(struct query *query, struct question *question, int type)
{
	question->query = query;
	question->type = type;
	question_send(question);
}

static struct query *query_create(struct loop *loop, const char *prefix, const char *domain,
				  void *context)
{
	struct query *query = calloc(1, sizeof *query);

	if (query == NULL)
		fatal("out of memory");
	query->task.run = query_finish;
	query->loop = loop;
	query->context = context;
	snprintf(query->name, sizeof query->name, "%s%s", prefix, domain);
	return query;
}

void resolve_srv(struct loop *loop, const char *domain,
		 void (*done)(void *context, const struct srv_answer *answer), void *context)
{
	struct query *query = query_create(loop, "_restante._tcp.", domain, context);

	query->srv_done = done;
	query->waiting = 1;
	ask(query, &query->questions[0], ns_t_srv);
}

void resolve_txt(struct loop *loop, const char *domain,
		 void (*done)(void *context, enum resolve_outcome outcome,
			      const struct txt_answer *answer),
		 void *context)
{
	struct query *query = query_create(loop, "_restante.", domain, context);

	query->txt_done = done;
	query->waiting = 1;
	ask(query, &query->questions[0], ns_t_txt);
}

/* Addresses, and localhost (RFC 6761 section 6.3), are nobody's to answer. */
static bool is_numeric(const char *host, struct host_answer *answer)
{
	uint8_t buffer[sizeof(struct in6_addr)];

	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, buffer) != 1 && inet_pton(AF_INET6, host, buffer) != 1)
		return false;
	snprintf(answer->addresses[0], sizeof answer->addresses[0], "%s", host);
	answer->count = 1;
	return true;
}

void resolve_host(struct loop *loop, const char *host,
		  void (*done)(void *context, const struct host_answer *answer), void *context)
{
	struct query *query = query_create(loop, "", host, context);

	query->host_done = done;
	if (is_numeric(host, &query->v4)) {
		loop_defer(loop, &query->task);
		return;
	}
	query->waiting = 2;
	ask(query, &query->questions[0], ns_t_a);
	ask(query, &query->questions[1], ns_t_aaaa);
}

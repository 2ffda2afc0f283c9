/* SPDX-License-Identifier: MIT
 *
 * The loop of the federation thread: curl's multi handle drives the transfers, and c-ares
 * and the inbox hang on the same epoll. Callbacks come from loop_turn() only.
 */
#ifndef FEDERATION_LOOP_H
#define FEDERATION_LOOP_H

#include "peer.h"
#include "restante/signature.h"

#include <ares.h>
#include <curl/curl.h>

struct loop;

struct loop *loop_create(const struct config *config);
void loop_destroy(struct loop **loop);
/* Waits for the network or a wake, at most timeout_ms, and runs what is due. */
void loop_turn(struct loop *loop, int timeout_ms);
void loop_wake(void *loop); /* any thread */

/* Something to do at the end of this turn, or of the next one. Embedded in its owner. */
struct loop_task {
	struct loop_task *next;
	void (*run)(struct loop_task *task);
	bool waiting; /* set by loop_defer() and loop_forget() alone */
};

void loop_defer(struct loop *loop, struct loop_task *task); /* again while it waits: nothing */
void loop_forget(struct loop *loop, struct loop_task *task);

/* For transfer.c and resolve.c. */
CURLM *loop_curl(struct loop *loop);
ares_channel loop_ares(struct loop *loop);
const struct config *loop_config(const struct loop *loop);
bool loop_dns_is_trusted(const struct loop *loop);
bool loop_is_closing(const struct loop *loop);	   /* then tasks only free what is theirs */
size_t *loop_answer_bytes(struct loop *loop);	   /* held by all transfers */
void transfer_finished(CURL *easy, CURLcode code); /* called by the loop */

/* --- transfer.c: one HTTPS request ----------------------------------------------------- */

/* Of all answers together. Those that are small always have room. */
#define ANSWERS_BYTES_MAX  ((size_t)128 * 1024 * 1024)
#define ANSWER_BYTES_SMALL ((size_t)64 * 1024)

struct transfer_request {
	/* All but the body is copied. */
	const struct targets *targets; /* tried in order until one connects */
	const char *url;	       /* https://tls-name[:port]/path; only for the name */
	const char *host;	       /* Host header */
	const char *content_type;      /* NULL: GET */
	struct bytes body;	       /* must live until done */
	const struct s2s_headers *signature; /* NULL: none */
	const char *destination;	     /* Restante-Destination, with a signature */
	size_t answer_max;
	int connect_timeout_ms;
	int timeout_ms;
};

struct transfer_answer {
	/* ERR_OK: any status. ERR_PEER_UNREACHABLE: nothing of the request was sent.
	 * ERR_PEER_TIMEOUT, ERR_PEER_INVALID. ERR_BUSY: could not begin. */
	enum err err;
	int status;
	size_t target; /* the one that has answered */
	struct bytes body;
	/* Trimmed; empty: absent. The receiver checks that content_type is what was signed. */
	struct bytes content_type, content_digest, signature, signature_input, retry_after;
	const char *error; /* curl's, for the log */
};

struct transfer;

/* done() is called exactly once from a later loop_turn(), also for what fails at once. The
 * answer lives for that call. */
struct transfer *transfer_start(struct loop *loop, const struct transfer_request *request,
				void (*done)(void *context,
					     const struct transfer_answer *answer),
				void *context);
/* Without done(). Not after done(): then the transfer is gone. */
void transfer_cancel(struct transfer **transfer);

/* --- resolve.c: DNS -------------------------------------------------------------------- */

enum resolve_outcome {
	RESOLVE_FOUND,
	RESOLVE_NONE,	  /* NXDOMAIN or no data */
	RESOLVE_REFUSED,  /* SRV target "." : this domain does not federate */
	RESOLVE_TRANSIENT /* anything else */
};

struct srv_record {
	char target[DOMAIN_SIZE];
	uint16_t port, priority, weight;
};

struct srv_answer {
	enum resolve_outcome outcome;
	bool validated;
	struct srv_record records[TARGETS_MAX]; /* in the order to try (RFC 2782) */
	size_t count;
	int64_t ttl_s; /* least of the records */
};

struct host_answer {
	enum resolve_outcome outcome;
	char addresses[TARGET_ADDRESSES_MAX][46];
	size_t count;
};

/* Callbacks come from loop_turn(). */
void resolve_srv(struct loop *loop, const char *domain,
		 void (*done)(void *context, const struct srv_answer *answer), void *context);
void resolve_host(struct loop *loop, const char *host,
		  void (*done)(void *context, const struct host_answer *answer), void *context);
void resolve_txt(struct loop *loop, const char *domain,
		 void (*done)(void *context, enum resolve_outcome outcome,
			      const struct txt_answer *answer),
		 void *context);

/* --- address_check.c ------------------------------------------------------------------- */

struct sockaddr;
/* May a node connect there: a global unicast address, and none that is special (RFC 6890);
 * any with allow_private. */
bool address_is_allowed(const struct sockaddr *address, bool allow_private);

#endif

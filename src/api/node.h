/* SPDX-License-Identifier: MIT
 *
 * The node as its handlers see it. Each net thread has a struct node of its own, and what is
 * in it belongs to that thread, except where a part says otherwise.
 */
#ifndef API_NODE_H
#define API_NODE_H

#include "restante/federation.h"
#include "restante/live.h"
#include "restante/node.h"
#include "restante/ratelimit.h"
#include "restante/server.h"
#include "restante/signature.h"
#include "restante/worker.h"

#include <pthread.h>
#include <stdatomic.h>

enum limit {
#define LIMIT(name, burst, every_ms, scope, doc) LIMIT_##name,
#include "limits.def"
#undef LIMIT
	LIMIT_COUNT
};

/* Net threads: as many as listen.threads may say. */
#define NODES_MAX 16

/* What all net threads have. It is there before they begin and after they have ended; in
 * between the members stay what they are, and what they point to can be used on any thread. */
struct shared {
	const struct config *config;
	struct store_config store_config;
	struct store *store;
	struct worker_pool *pool; /* password hashing, bulk verification */
	struct policy *policy;
	struct federation *federation;
	struct nonces *nonces;
	struct origins *origins; /* origins.c */
	struct directory *directory;
	struct ratelimit *limits[LIMIT_COUNT];
	char no_password_hash[128]; /* matches nothing: for accounts without one */

	/* Housekeeping, which the first thread does; others look at it, and ask for it. */
	atomic_bool expiring;	   /* it is in the store */
	_Atomic int64_t expiry_ms; /* since when, or when it was last; monotonic, as the next */
	_Atomic int64_t next_expiry_ms;
	atomic_bool ready; /* the last one found the store in order */

	struct node *nodes[NODES_MAX]; /* the first thread's first */
	size_t n_nodes;
};

struct node {
	struct arena *arena; /* this node; the first one's: what is shared, too */
	struct shared *shared;
	size_t index; /* in it */
	const struct config *config;
	struct server_config server_config;
	struct node_keys keys;	/* of the first; others have the secrets */
	struct sign_key signer; /* one of them: signs requests and responses */
	struct server *server;
	struct inbox *inbox; /* the server's */
	struct live *live;
	pthread_t thread;		/* that runs the server; not of the first */
	char authority[AUTHORITY_SIZE]; /* of this node's published federation URL */

	/* The server document as served (node_document.c). The rest is of the first, which
	 * makes it. */
	struct arena *document_arena;
	struct bytes document;
	int64_t document_due_ms; /* when a key's turn comes */
	int64_t renew_ms;	 /* in any case; monotonic */
	bool document_is_news;	 /* other net threads still have to get it */
	bool signer_is_news;	 /* the federation thread still has to be told */

	struct client *waiting; /* sockets without a token yet (socket.c) */

	/* By other threads: what they tell is on its way here, and whether something was left
	 * out (effects.c). */
	atomic_size_t told_bytes;
	atomic_bool missed;
};

static inline bool node_is_first(const struct node *node)
{
	return node->index == 0;
}

/* node.c: posts, or false: full, or the node is stopping and that part has gone. */
bool node_post(struct node *node, struct store_op *op) MUST_CHECK;
bool node_post_job(struct node *node, struct job *job) MUST_CHECK;
bool node_post_call(struct node *node, struct remote_call *call) MUST_CHECK;
bool node_post_query(struct node *node, struct peer_query *query) MUST_CHECK;

/* limits.c: takes a permit; 0, or how many milliseconds to wait. */
int64_t limit_take(struct node *node, enum limit limit, struct bytes key);
/* So many processes serve this node: makes the limits, or divides those that are shared. Any
 * thread. */
void limits_divide(struct shared *shared, int processes);

/* origins.c: any thread. */
struct origins *origins_create(void);
void origins_destroy(struct origins **origins);
bool origin_is_known(struct origins *origins, const char *domain);
void origin_know(struct origins *origins, const char *domain);

/* node_document.c: of the first, except the second. */
enum err document_start(struct node *node) MUST_CHECK;
/* Before this thread begins: keys and document as the first has them. */
void document_join(struct node *node);
/* Loads the key files anew, and makes the document; bad files change nothing. */
void document_renew(struct node *node);
void document_tick(struct node *node);

/* routes.c */
extern const struct route api_routes[];
enum err api_authorize(struct request *request);
/* A permit for a call: 0, or how many milliseconds to wait. */
int64_t api_call_permit(struct node *node, const struct caller *caller) MUST_CHECK;
/* A bearer token: ERR_OK and the caller. Used by sockets, too. */
enum err api_token_check(struct node *node, struct bytes token,
			 struct caller *caller_out) MUST_CHECK;

/* inbound.c: what can be refused of another node's request before its body is read. */
enum err inbound_precheck(struct request *request) MUST_CHECK;

/* socket.c */
extern const struct socket_handlers api_sockets;
/* Closes those that have not authenticated in time. */
void sockets_tick(struct node *node, int64_t now_ms);

/* socket_release.c: tells the store, if it knows of this socket (socket_key is not 0). */
void socket_release(struct node *node, int64_t generation, int64_t socket_key);

/* effects.c: for the store (store.h); the context is what all net threads share. */
struct message *node_told(void *context, const struct effects *effects);
/* Any thread: a session of this number has begun elsewhere than at `former`, a node. */
void node_displaces(void *former, int64_t generation, int64_t number);
/* Sessions look in their mailboxes for what they could not be told. */
void node_catch_up(struct node *node);

/* receipt_token.c */
char *receipt_token_make(struct node *node, struct arena *arena, int64_t generation,
			 const uint8_t id[16], const char *from, const char *to);
/* The sending device's generation, or false: not a token of this node for these. */
bool receipt_token_check(struct node *node, const char *token, const uint8_t id[16],
			 const char *from, const char *to, int64_t *generation_out);

#endif

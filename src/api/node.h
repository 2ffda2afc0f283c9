/* SPDX-License-Identifier: MIT
 *
 * The node as its handlers see it. Net thread, except where a part says otherwise.
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

enum limit {
#define LIMIT(name, burst, every_ms, doc) LIMIT_##name,
#include "limits.def"
#undef LIMIT
	LIMIT_COUNT
};

struct node {
	struct arena *arena; /* this node */
	const struct config *config;
	struct server_config server_config;
	struct node_keys keys;
	struct sign_key signer; /* one of them: signs requests and responses */
	bool signer_is_news;	/* the federation thread still has to be told */
	struct store_config store_config;
	struct store *store;
	struct worker_pool *pool; /* password hashing, bulk verification */
	struct server *server;
	struct inbox *inbox; /* the server's */
	struct live *live;
	struct policy *policy;
	struct federation *federation;
	struct nonces *nonces;
	struct known_origin *origins; /* origins.c */
	struct ratelimit *limits[LIMIT_COUNT];
	char authority[AUTHORITY_SIZE]; /* of this node's published federation URL */

	/* The server document as served (node_document.c). */
	struct arena *document_arena;
	struct bytes document;
	int64_t document_due_ms; /* when a key's turn comes */
	int64_t renew_ms;	 /* in any case; monotonic */

	struct client *waiting; /* sockets without a token yet (socket.c) */
	bool expiring;		/* housekeeping is in the store */
	int64_t expiry_ms;	/* since when, or when it was last; monotonic, as the next */
	int64_t next_expiry_ms;
	char no_password_hash[128]; /* matches nothing: for accounts without one */
	bool ready;		    /* the last housekeeping found the store in order */
};

/* node.c: posts, or false: full, or the node is stopping and that part has gone. */
bool node_post(struct node *node, struct store_op *op) MUST_CHECK;
bool node_post_job(struct node *node, struct job *job) MUST_CHECK;
bool node_post_call(struct node *node, struct remote_call *call) MUST_CHECK;
bool node_post_query(struct node *node, struct peer_query *query) MUST_CHECK;

/* limits.c: takes a permit; 0, or how many milliseconds to wait. */
int64_t limit_take(struct node *node, enum limit limit, struct bytes key);

/* origins.c */
bool origin_is_known(const struct node *node, const char *domain);
void origin_know(struct node *node, const char *domain);
void origins_forget(struct node *node);

/* node_document.c */
enum err document_start(struct node *node) MUST_CHECK;
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

/* effects.c: commit first, then tell sockets and the federation thread. */
void node_tell(struct node *node, const struct effects *effects);
void node_told(struct message *message, void *receiver); /* effects of the federation thread */
void node_dispatched(void *context); /* all that had come back has been told */

/* receipt_token.c */
char *receipt_token_make(struct node *node, struct arena *arena, int64_t generation,
			 const uint8_t id[16], const char *from, const char *to);
/* The sending device's generation, or false: not a token of this node for these. */
bool receipt_token_check(struct node *node, const char *token, const uint8_t id[16],
			 const char *from, const char *to, int64_t *generation_out);

#endif

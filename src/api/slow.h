/* SPDX-License-Identifier: MIT
 *
 * Work that takes too long for the net thread, on the worker pool: hashing and checking a
 * password, verifying the signatures of a whole upload.
 */
#ifndef API_SLOW_H
#define API_SLOW_H

#include "handler.h"

#include "restante/accounts.h"
#include "restante/password.h"

struct slow_job {
	struct job job;
	struct request *request;
	struct password_cost cost;
	/* What is to be done, in this order; NULL: not. */
	const struct key_upload *upload; /* verify it, */
	enum key_scheme scheme;		 /* against this identity where it brings none */
	struct bytes identity_key;
	const char *verify_password; /* is it the one of verify_hash? */
	const char *verify_hash;
	const char *hash_password; /* into `hash` */
	/* out */
	enum err err; /* ERR_LOGIN_FAILED: another password */
	struct problem problem;
	char hash[PASSWORD_HASH_SIZE];
};

struct slow_job *slow_new(struct request *request);
/* done() comes on the net thread. Answers 503 where the pool is full. */
void slow_post(struct slow_job *job, void (*done)(struct message *message));
/* In done(): true, or the request has been answered with what went wrong. */
bool slow_went_well(struct slow_job *job);

#endif

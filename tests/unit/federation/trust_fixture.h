/* SPDX-License-Identifier: MIT
 *
 * What test_trust and test_trust_root need: keys, and documents and TXT answers made of them.
 */
#ifndef TEST_TRUST_FIXTURE_H
#define TEST_TRUST_FIXTURE_H

#include "peer.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW INT64_C(1767225600000)

enum name { K1, K2, K3, STRANGER, ROOT, OTHER_ROOT, K1_AGAIN, N_NAMES };

static const char *const kids[N_NAMES] = {"k1", "k2", "k3", "s1", "root", "root", "k1"};

struct fixture {
	struct arena *arena;
	struct sign_key keys[N_NAMES];
	struct trust trust;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	crypto_init();
	f->arena = arena_create();
	for (size_t i = 0; i < N_NAMES; i++) {
		uint8_t seed[32] = {(uint8_t)i};

		if (sign_key_from_seed(bytes_of_text(kids[i]), seed, &f->keys[i]) != ERR_OK)
			return -1;
	}
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	arena_destroy(&f->arena);
	free(f);
	return 0;
}

/* Lists end with -1. */
struct spec {
	int keys[4];
	int signers[4];
	int root; /* -1: none */
	int64_t revision;
	int64_t now;
	int64_t not_after; /* 0: in a year */
};

static inline struct server_document make(struct fixture *f, const struct spec *spec)
{
	struct server_document document = {.server = "a.example",
					   .federation_url = "https://a.example",
					   .revision = spec->revision,
					   .issued_at_ms = spec->now,
					   .valid_until_ms = spec->now + DAYS_MS,
					   .transaction_items = 1,
					   .transaction_bytes = 1,
					   .content_bytes = 1};
	struct sign_key signers[4];
	size_t n_signers = 0;

	for (size_t i = 0; spec->keys[i] >= 0; i++) {
		struct server_key *key = &document.keys[document.n_keys++];

		memcpy(key->kid, f->keys[spec->keys[i]].kid, sizeof key->kid);
		memcpy(key->public_key, f->keys[spec->keys[i]].public_key, 32);
		key->not_before_ms = spec->now - DAYS_MS;
		key->not_after_ms =
			spec->not_after != 0 ? spec->not_after : spec->now + 365 * DAYS_MS;
	}
	for (; spec->signers[n_signers] >= 0; n_signers++)
		signers[n_signers] = f->keys[spec->signers[n_signers]];
	document.has_root = spec->root >= 0;
	if (document.has_root)
		memcpy(document.root_key, f->keys[spec->root].public_key, 32);
	assert_int_equal(
		document_decode(f->arena,
				document_encode(f->arena, &document, signers, n_signers),
				&document),
		ERR_OK);
	return document;
}

static const struct txt_answer absent;
static const struct txt_answer failed = {.failed = true};

static inline struct txt_answer txt_of(const struct fixture *f, bool validated, int first,
				       int second)
{
	struct txt_answer txt = {.present = true, .validated = validated};
	int names[2] = {first, second};

	for (size_t i = 0; i < 2 && names[i] >= 0; i++) {
		struct txt_key *key = &txt.keys[txt.n_keys++];

		memcpy(key->kid, f->keys[names[i]].kid, sizeof key->kid);
		memcpy(key->public_key, f->keys[names[i]].public_key, 32);
	}
	return txt;
}

static inline enum trust_verdict decide(struct fixture *f, struct spec spec,
					struct txt_answer txt)
{
	struct server_document document;

	if (spec.now == 0)
		spec.now = NOW;
	document = make(f, &spec);
	return trust_decide(&f->trust, &document, &txt, spec.now);
}

static inline bool believes(const struct fixture *f, enum name name, int64_t now)
{
	const struct server_key *key = trust_key(&f->trust, kids[name], now);

	return key != NULL && memcmp(key->public_key, f->keys[name].public_key, 32) == 0;
}

/* A pin of k1 with a root, at revision 10. */
static inline void pin(struct fixture *f)
{
	assert_int_equal(decide(f, (struct spec){{K1, -1}, {K1, -1}, ROOT, 10, 0, 0}, absent),
			 TRUST_FIRST_USE);
}

#endif

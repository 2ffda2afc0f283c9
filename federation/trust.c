/* SPDX-License-Identifier: MIT
 *
 * Which keys of another domain to believe: the table of docs/protocol.md section 4.3. What
 * comes in here has valid TLS and is a valid document in itself. Pure.
 */
#include "peer.h"

#include "restante/clock.h"
#include "restante/crypto.h"

#define CANDIDATE_WAIT_MS (72 * HOURS_MS)
#define CLOCKS_DIFFER_MS  (300 * SECONDS_MS)
#define TRUST_KEYS_MAX	  (2 * SERVER_KEYS_MAX)

static bool is_in_time(const struct server_key *key, int64_t now_ms)
{
	return key->not_before_ms <= now_ms && now_ms <= key->not_after_ms;
}

static struct server_key *pinned_key(struct trust *trust, const char *kid)
{
	for (size_t i = 0; i < trust->n_keys; i++)
		if (strcmp(trust->keys[i].kid, kid) == 0)
			return &trust->keys[i];
	return NULL;
}

const struct server_key *trust_key(const struct trust *trust, const char *kid, int64_t now_ms)
{
	if (!trust->pinned || trust->refuted)
		return NULL;
	for (size_t i = 0; i < trust->n_keys; i++) {
		const struct server_key *key = &trust->keys[i];

		/* Its owner uses a new key from not_before on by its own clock. */
		if (strcmp(key->kid, kid) == 0 && now_ms <= key->not_after_ms &&
		    key->not_before_ms - CLOCKS_DIFFER_MS <= now_ms)
			return key;
	}
	return NULL;
}

/* TXT against a document */

enum txt_says { TXT_NOTHING, TXT_MATCHES, TXT_DIFFERS };

static bool txt_has(const struct txt_answer *txt, const struct server_key *key)
{
	for (size_t i = 0; i < txt->n_keys; i++)
		if (strcmp(txt->keys[i].kid, key->kid) == 0 &&
		    memcmp(txt->keys[i].public_key, key->public_key, 32) == 0)
			return true;
	return false;
}

static bool txt_gives_another(const struct txt_answer *txt, const struct server_key *key)
{
	for (size_t i = 0; i < txt->n_keys; i++)
		if (strcmp(txt->keys[i].kid, key->kid) == 0 &&
		    memcmp(txt->keys[i].public_key, key->public_key, 32) != 0)
			return true;
	return false;
}

static enum txt_says txt_compare(const struct txt_answer *txt,
				 const struct server_document *document, int64_t now_ms)
{
	if (txt->failed || !txt->present)
		return TXT_NOTHING;
	for (size_t i = 0; i < document->n_keys; i++) {
		const struct server_key *key = &document->keys[i];

		if (txt_gives_another(txt, key))
			return TXT_DIFFERS;
		if (is_in_time(key, now_ms) && !txt_has(txt, key))
			return TXT_DIFFERS;
	}
	return TXT_MATCHES;
}

/* The document against the pin */

/* Every key of the document is pinned. Keys that it no longer has do not matter: they hold
 * until their own end. */
static bool keys_are_pinned(struct trust *trust, const struct server_document *document)
{
	for (size_t i = 0; i < document->n_keys; i++) {
		const struct server_key *key = &document->keys[i];
		const struct server_key *pinned = pinned_key(trust, key->kid);

		if (pinned == NULL || memcmp(pinned->public_key, key->public_key, 32) != 0)
			return false;
	}
	return true;
}

static bool reuses_kid(struct trust *trust, const struct server_document *document)
{
	for (size_t i = 0; i < document->n_keys; i++) {
		const struct server_key *key = &document->keys[i];
		const struct server_key *pinned = pinned_key(trust, key->kid);

		if (pinned != NULL && memcmp(pinned->public_key, key->public_key, 32) != 0)
			return true;
	}
	return false;
}

/* By a key that is pinned and has not ended. One that has not begun will do: those before it
 * may have been lost. */
static bool signed_by_pin(const struct trust *trust, const struct server_document *document,
			  int64_t now_ms)
{
	for (size_t i = 0; i < trust->n_keys; i++)
		if (now_ms <= trust->keys[i].not_after_ms &&
		    document_signed_by(document, trust->keys[i].public_key))
			return true;
	return false;
}

/* Has the pin's own signed it? Where all of them have run out, as with a domain that has not
 * been heard of for long, the one that held longest is asked. A key that was ended before
 * its time is not: listed as ended it is pinned too, and would bring itself back. */
static bool signed_by_same(const struct trust *trust, const struct server_document *document,
			   int64_t now_ms)
{
	int64_t last_ms = 0;

	for (size_t i = 0; i < trust->n_keys; i++)
		if (trust->keys[i].not_after_ms > last_ms)
			last_ms = trust->keys[i].not_after_ms;
	return signed_by_pin(trust, document, now_ms < last_ms ? now_ms : last_ms);
}

/* By the root that is pinned, after all that it has signed before: what is older could be
 * shown again by whoever holds a key that it names. */
static bool signed_by_root(const struct trust *trust, const struct server_document *document)
{
	return trust->has_root && document->revision > trust->root_revision &&
	       document_signed_by(document, trust->root_key);
}

static int compare_keys(const struct server_key *a, const struct server_key *b)
{
	int order = strcmp(a->kid, b->kid);

	return order != 0 ? order : memcmp(a->public_key, b->public_key, 32);
}

/* SHA-256 of kids and keys in the order of the kids. */
static void candidate_hash(const struct server_document *document, uint8_t hash_out[32])
{
	const struct server_key *order[SERVER_KEYS_MAX];
	uint8_t buffer[SERVER_KEYS_MAX * sizeof(((struct txt_key *)0)->kid) +
		       SERVER_KEYS_MAX * 32];
	size_t len = 0;

	for (size_t i = 0; i < document->n_keys; i++) {
		size_t at = i;

		for (; at > 0 && compare_keys(order[at - 1], &document->keys[i]) > 0; at--)
			order[at] = order[at - 1];
		order[at] = &document->keys[i];
	}
	for (size_t i = 0; i < document->n_keys; i++) {
		size_t kid_size = strlen(order[i]->kid) + 1;

		memcpy(buffer + len, order[i]->kid, kid_size);
		memcpy(buffer + len + kid_size, order[i]->public_key, 32);
		len += kid_size + 32;
	}
	crypto_sha256(bytes_of(buffer, len), hash_out);
}

/* What the verdicts do to the pin */

static void conflict_end(struct trust *trust)
{
	trust->conflict = false;
	trust->refuted = false;
	trust->candidate_since_ms = 0;
	memset(trust->candidate, 0, sizeof trust->candidate);
	trust->n_shown = 0;
	memset(trust->shown, 0, sizeof trust->shown);
}

static void conflict_show(struct trust *trust, const struct server_document *document)
{
	memcpy(trust->shown, document->keys, sizeof trust->shown);
	trust->n_shown = document->n_keys;
}

/* The document's keys, behind them the old ones that still hold. */
static void keys_replace(struct trust *trust, const struct server_document *document,
			 bool keep_old, int64_t now_ms)
{
	struct server_key old[TRUST_KEYS_MAX];
	size_t n_old = keep_old ? trust->n_keys : 0;

	memcpy(old, trust->keys, sizeof old);
	memset(trust->keys, 0, sizeof trust->keys);
	memcpy(trust->keys, document->keys, document->n_keys * sizeof document->keys[0]);
	trust->n_keys = document->n_keys;
	for (size_t i = 0; i < n_old && trust->n_keys < TRUST_KEYS_MAX; i++)
		if (old[i].not_after_ms >= now_ms && pinned_key(trust, old[i].kid) == NULL)
			trust->keys[trust->n_keys++] = old[i];
}

static void root_replace(struct trust *trust, const struct server_document *document)
{
	trust->has_root = document->has_root;
	memset(trust->root_key, 0, sizeof trust->root_key);
	if (document->has_root)
		memcpy(trust->root_key, document->root_key, sizeof trust->root_key);
}

/* A root that comes with keys which are believed for another reason: what it has signed so
 * far is not newer than they are. */
static void root_adopt(struct trust *trust, const struct server_document *document)
{
	bool same = trust->has_root && document->has_root &&
		    memcmp(trust->root_key, document->root_key, 32) == 0;
	const struct server_document *root_signed = document->root_signed;

	if (!same)
		trust->root_revision = 0;
	root_replace(trust, document);
	if (root_signed != NULL && signed_by_root(trust, root_signed))
		trust->root_revision = root_signed->revision;
	if (signed_by_root(trust, document))
		trust->root_revision = document->revision;
}

/* Live keys cannot replace the root: only itself can, or the end of the whole pin. */
static void pin_update(struct trust *trust, const struct server_document *document,
		       int64_t now_ms)
{
	keys_replace(trust, document, true, now_ms);
	if (!trust->has_root)
		root_adopt(trust, document);
	trust->revision = document->revision;
}

static void pin_by_root(struct trust *trust, const struct server_document *document,
			int64_t now_ms)
{
	keys_replace(trust, document, false, now_ms);
	root_replace(trust, document);
	trust->root_revision = document->revision;
	trust->revision = document->revision;
	conflict_end(trust);
}

static void pin_anew(struct trust *trust, const struct server_document *document,
		     int64_t now_ms)
{
	trust->pinned = true;
	trust->pinned_ms = now_ms;
	trust->verified = false;
	keys_replace(trust, document, false, now_ms);
	root_adopt(trust, document);
	trust->revision = document->revision;
	conflict_end(trust);
}

/* What the root says comes first. The document that it signed may be long past its time, and
 * its revision below that of a pin which a leaked key has moved. */
static bool root_follow(struct trust *trust, const struct server_document *document,
			int64_t now_ms)
{
	const struct server_document *root_signed = document->root_signed;
	bool followed = false;

	if (root_signed != NULL && strcmp(root_signed->server, document->server) == 0 &&
	    signed_by_root(trust, root_signed)) {
		pin_by_root(trust, root_signed, now_ms);
		followed = true;
	}
	if (document->revision > trust->revision && signed_by_root(trust, document)) {
		pin_by_root(trust, document, now_ms);
		followed = true;
	}
	return followed;
}

/* The verdicts */

static enum trust_verdict decide_first(struct trust *trust,
				       const struct server_document *document,
				       enum txt_says says, int64_t now_ms)
{
	if (says == TXT_DIFFERS) {
		trust->conflict = true;
		return TRUST_CONFLICT;
	}
	pin_anew(trust, document, now_ms);
	return TRUST_FIRST_USE;
}

static enum trust_verdict decide_same(struct trust *trust,
				      const struct server_document *document,
				      const struct txt_answer *txt, enum txt_says says,
				      int64_t now_ms)
{
	if (says == TXT_DIFFERS && txt->validated) {
		trust->conflict = true;
		trust->refuted = true;
		return TRUST_CONFLICT;
	}
	/* What DNSSEC has refuted stays so while nobody can be asked, or says otherwise. */
	if (trust->refuted && (txt->failed || says == TXT_DIFFERS))
		return TRUST_CONFLICT;
	if (document->revision > trust->revision)
		pin_update(trust, document, now_ms);
	conflict_end(trust);
	return says == TXT_DIFFERS ? TRUST_SAME_TXT_DIFFERS : TRUST_SAME;
}

/* Other keys whose document no pinned key has signed: validated TXT can make them good. */
static enum trust_verdict decide_unsigned(struct trust *trust,
					  const struct server_document *document,
					  const struct txt_answer *txt, enum txt_says says,
					  int64_t now_ms)
{
	bool matches = says == TXT_MATCHES && txt->validated;
	uint8_t hash[SHA256_SIZE];

	candidate_hash(document, hash);
	if (memcmp(hash, trust->candidate, sizeof hash) != 0 ||
	    trust->candidate_since_ms > now_ms || (!matches && !txt->failed))
		trust->candidate_since_ms = 0;
	memcpy(trust->candidate, hash, sizeof hash);
	if (matches && trust->candidate_since_ms == 0)
		trust->candidate_since_ms = now_ms;
	if (matches && now_ms - trust->candidate_since_ms >= CANDIDATE_WAIT_MS) {
		pin_anew(trust, document, now_ms);
		return TRUST_REPINNED;
	}
	trust->conflict = true;
	return TRUST_CONFLICT;
}

static enum trust_verdict decide_other(struct trust *trust,
				       const struct server_document *document,
				       const struct txt_answer *txt, enum txt_says says,
				       int64_t now_ms)
{
	bool newer = document->revision > trust->revision;
	bool refuted = txt->validated ? says == TXT_DIFFERS : trust->refuted;

	/* A stolen live key does not outweigh what DNSSEC says, nor may it give a key id to
	 * another key. */
	if (newer && !refuted && signed_by_pin(trust, document, now_ms) &&
	    !reuses_kid(trust, document)) {
		pin_update(trust, document, now_ms);
		conflict_end(trust);
		return TRUST_ROTATED;
	}
	return decide_unsigned(trust, document, txt, says, now_ms);
}

static enum trust_verdict decide_pinned(struct trust *trust,
					const struct server_document *document,
					const struct txt_answer *txt, enum txt_says says,
					int64_t now_ms)
{
	static const struct txt_answer nothing;
	bool by_root = root_follow(trust, document, now_ms);
	enum trust_verdict verdict;

	if (!keys_are_pinned(trust, document) || !signed_by_same(trust, document, now_ms))
		verdict = decide_other(trust, document, txt, says, now_ms);
	else if (by_root) /* it stands above TXT, which takes a while to follow */
		verdict = decide_same(trust, document, &nothing, TXT_NOTHING, now_ms);
	else
		verdict = decide_same(trust, document, txt, says, now_ms);
	return by_root && verdict != TRUST_CONFLICT ? TRUST_ROTATED_BY_ROOT : verdict;
}

enum trust_verdict trust_decide(struct trust *trust, const struct server_document *document,
				const struct txt_answer *txt, int64_t now_ms)
{
	enum txt_says says = txt_compare(txt, document, now_ms);
	enum trust_verdict verdict;

	if (!trust->pinned)
		verdict = decide_first(trust, document, says, now_ms);
	else
		verdict = decide_pinned(trust, document, txt, says, now_ms);
	if (verdict == TRUST_CONFLICT)
		conflict_show(trust, document);
	else if (says == TXT_MATCHES)
		trust->verified = true;
	return verdict;
}

const char *trust_verdict_name(enum trust_verdict verdict)
{
	static const char *const names[] = {
		[TRUST_FIRST_USE] = "first_use",
		[TRUST_SAME] = "same",
		[TRUST_SAME_TXT_DIFFERS] = "same_txt_differs",
		[TRUST_ROTATED] = "rotated",
		[TRUST_ROTATED_BY_ROOT] = "rotated_by_root",
		[TRUST_REPINNED] = "repinned",
		[TRUST_CONFLICT] = "conflict",
	};

	return names[verdict];
}

/* SPDX-License-Identifier: MIT
 *
 * Whether uploaded keys have the form of their scheme and carry good signatures
 * (docs/protocol.md section 2.1). Some 50 to 200 microseconds a signature. Any thread.
 */
#include "restante/keys.h"

/* The identity under which an upload is checked. */
struct identity {
	enum key_scheme scheme;
	struct bytes key;
};

static enum err report(enum err err, const char *field, struct problem *problem)
{
	problem->field = field;
	problem->message = err == ERR_BAD_SIGNATURE ? "does not verify"
						    : "does not have the form of its scheme";
	return err;
}

static enum err check_one_time(const struct identity *identity, const struct prekey_list *list,
			       struct problem *problem)
{
	for (size_t i = 0; i < list->count; i++)
		if (scheme_check_prekey(identity->scheme, list->keys[i].public_key) != ERR_OK)
			return report(ERR_VALIDATION, "one_time_prekeys", problem);
	return ERR_OK;
}

static enum err check_signed(const struct identity *identity, const struct prekey *key,
			     enum err form, const char *field, struct problem *problem)
{
	enum err err = form;

	if (err == ERR_OK)
		err = scheme_verify(identity->scheme, identity->key, key->public_key,
				    key->signature);
	return err == ERR_OK ? ERR_OK : report(err, field, problem);
}

static enum err check_signed_prekey(const struct identity *identity, const struct prekey *key,
				    struct problem *problem)
{
	if (!key->present)
		return ERR_OK;
	return check_signed(identity, key,
			    scheme_check_prekey(identity->scheme, key->public_key),
			    "signed_prekey", problem);
}

static enum err check_pq(const struct identity *identity, const struct prekey *key,
			 const char *field, struct problem *problem)
{
	if (!key->present)
		return ERR_OK;
	return check_signed(identity, key, scheme_check_pq(identity->scheme, key->public_key),
			    field, problem);
}

/* A new identity ends all prekeys, so it comes with a signed one. */
static enum err check_identity(const struct key_upload *upload, const struct identity *now,
			       struct problem *problem)
{
	bool is_new =
		upload->scheme != now->scheme || !bytes_equal(upload->identity_key, now->key);

	if (scheme_check_identity(upload->scheme, upload->identity_key) != ERR_OK)
		return report(ERR_VALIDATION, "identity_key", problem);
	if (is_new && !upload->signed_prekey.present) {
		*problem = (struct problem){.field = "signed_prekey",
					    .message = "is missing beside a new identity key"};
		return ERR_VALIDATION;
	}
	return ERR_OK;
}

enum err key_upload_check(const struct key_upload *upload, enum key_scheme scheme,
			  struct bytes identity_key, struct problem *problem)
{
	struct identity identity = {scheme, identity_key};
	enum err err = ERR_OK;

	if (upload->has_identity) {
		err = check_identity(upload, &identity, problem);
		identity = (struct identity){upload->scheme, upload->identity_key};
	}
	/* First what is cheap. */
	if (err == ERR_OK)
		err = check_one_time(&identity, &upload->one_time, problem);
	if (err == ERR_OK)
		err = check_signed_prekey(&identity, &upload->signed_prekey, problem);
	if (err == ERR_OK)
		err = check_pq(&identity, &upload->pq_last_resort, "pq_last_resort_prekey",
			       problem);
	for (size_t i = 0; i < upload->pq.count && err == ERR_OK; i++)
		err = check_pq(&identity, &upload->pq.keys[i], "pq_prekeys", problem);
	return err;
}

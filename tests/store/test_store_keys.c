/* SPDX-License-Identifier: MIT
 *
 * Prekeys and claims: the contract of ops_keys.h. Every one-time key is handed out at most
 * once, ever.
 */
#include "contract.h"

#include "restante/metrics.h"

#include <pthread.h>

/* --- helpers -------------------------------------------------------------------------- */

static struct op_keys_put put_of(const struct contract_device *device,
				 const struct key_upload *joined,
				 const struct key_upload *upload)
{
	return (struct op_keys_put){.caller = device->caller,
				    .upload = upload,
				    .scheme = joined->scheme,
				    .identity_key = joined->identity_key};
}

/* A claim by another node. */
static enum err claim_as(struct contract *contract, const char *requester, const char *claim_id,
			 const char *address, struct op_claim *op)
{
	struct claim_request *claim = arena_new(contract->arena, struct claim_request);

	snprintf(claim->claim_id, sizeof claim->claim_id, "%s", claim_id);
	assert_int_equal(address_parse(bytes_of_text(requester), &claim->requester), ERR_OK);
	assert_int_equal(address_parse(bytes_of_text(address), &claim->address), ERR_OK);
	*op = (struct op_claim){.claimer = claim->requester.domain, .claim = claim};
	return RUN(contract, CLAIM, op);
}

static struct device_list bundles_of(struct contract *contract, const struct op_claim *op)
{
	struct device_list list = {0};

	assert_int_equal(device_list_decode(contract->arena, op->answer, &list), ERR_OK);
	return list;
}

/* Bundles of alice under a claim id, which must be had. */
static struct device_list claim_alice(struct contract *contract, const char *claim_id)
{
	struct op_claim op;

	assert_int_equal(claim_as(contract, "bob@b.example", claim_id, "alice@a.example", &op),
			 ERR_OK);
	return bundles_of(contract, &op);
}

/* Alice has accepted those who claim, so that they may have all of her keys. */
static struct contract_device register_alice_with(struct contract *contract,
						  const struct key_upload *upload)
{
	struct contract_device alice = contract_register_with(contract, "alice", upload, NULL);

	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	contract_consent(contract, &alice, "eve@c.example", CONSENT_ACCEPTED);
	return alice;
}

static struct contract_device register_alice(struct contract *contract,
					     struct key_upload *upload_out, size_t one_time,
					     size_t pq)
{
	*upload_out = contract_upload(contract, "phone", one_time, pq);
	return register_alice_with(contract, upload_out);
}

/* --- uploading ------------------------------------------------------------------------ */

static void uploaded_keys_are_added(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 3, 2);
	struct key_upload more = {.one_time = contract_prekeys(contract, "more", 4, 2, false),
				  .pq = contract_prekeys(contract, "more pq", 3, 1, true)};
	struct op_keys_put op = put_of(&alice, &joined, &more);

	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(op.one_time, 5);
	assert_int_equal(op.pq, 3);
	assert_int_equal(op.list_version, alice.list_version);
	assert_null(op.effects.list_hints);
}

static void an_id_that_was_uploaded_is_ignored_also_once_it_was_handed_out(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 2, 0);
	struct key_upload again = {.one_time =
					   contract_prekeys(contract, "other", 1, 2, false)};
	struct op_keys_put op = put_of(&alice, &joined, &again);
	struct device_list list = claim_alice(contract, "c1");

	assert_int_equal(list.devices[0].one_time.id, 1);
	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(op.one_time, 1);
	list = claim_alice(contract, "c2");
	assert_true(bytes_equal(list.devices[0].one_time.public_key,
				joined.one_time.keys[1].public_key));
	assert_false(claim_alice(contract, "c3").devices[0].one_time.present);
}

static void an_upload_over_the_limit_stores_nothing(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 100, 1);
	struct key_upload more = {.one_time = contract_prekeys(contract, "a", 101, 101, false),
				  .pq = contract_prekeys(contract, "b", 2, 1, true)};
	struct op_keys_put op = put_of(&alice, &joined, &more);
	struct op_keys_stats stats = {.caller = alice.caller};

	assert_int_equal(RUN(contract, KEYS_PUT, &op), ERR_TOO_LARGE);
	RUN_OK(contract, KEYS_STATS, &stats);
	assert_int_equal(stats.stats.one_time, 100);
	assert_int_equal(stats.stats.pq, 1);
	more.one_time.count = 100;
	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(op.one_time, 200);
	/* What is known already takes no room. */
	RUN_OK(contract, KEYS_PUT, &op);
}

static void a_new_identity_ends_all_prekeys_and_raises_the_version(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 3, 3);
	struct key_upload fresh = contract_upload(contract, "reinstalled", 1, 0);
	struct op_keys_put op = put_of(&alice, &joined, &fresh);
	struct device_list list;

	claim_alice(contract, "c1");
	fresh.registration_id = 0;
	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(op.one_time, 1);
	assert_int_equal(op.pq, 0);
	assert_int_equal(op.list_version, alice.list_version + 1);
	assert_true(effects_have_hint(&op.effects, alice.caller.generation, "alice@a.example"));
	list = claim_alice(contract, "c2");
	assert_int_equal(list.list_version, op.list_version);
	assert_true(bytes_equal(list.devices[0].identity_key, fresh.identity_key));
	assert_true(bytes_equal(list.devices[0].one_time.public_key,
				fresh.one_time.keys[0].public_key));
	assert_int_equal(list.devices[0].registration_id, joined.registration_id);
}

static void the_same_identity_once_more_ends_nothing(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 3, 3);
	struct key_upload again = {.has_identity = true,
				   .scheme = joined.scheme,
				   .identity_key = joined.identity_key,
				   .registration_id = joined.registration_id};
	struct op_keys_put op = put_of(&alice, &joined, &again);

	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(op.one_time, 3);
	assert_int_equal(op.list_version, alice.list_version);
}

static void a_new_identity_needs_a_signed_prekey(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 3, 3);
	struct key_upload fresh = contract_upload(contract, "reinstalled", 0, 0);
	struct op_keys_put op = put_of(&alice, &joined, &fresh);

	fresh.signed_prekey.present = false;
	assert_int_equal(RUN(contract, KEYS_PUT, &op), ERR_BAD_SIGNATURE);
}

static void what_was_verified_against_a_former_identity_is_refused(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 0, 0);
	struct key_upload fresh = contract_upload(contract, "reinstalled", 0, 0);
	struct key_upload more = {.one_time = contract_prekeys(contract, "more", 1, 1, false)};
	struct op_keys_put op = put_of(&alice, &joined, &fresh);

	RUN_OK(contract, KEYS_PUT, &op);
	op = put_of(&alice, &joined, &more);
	assert_int_equal(RUN(contract, KEYS_PUT, &op), ERR_BAD_SIGNATURE);
	op = put_of(&alice, &fresh, &more);
	RUN_OK(contract, KEYS_PUT, &op);
}

static void a_new_registration_id_raises_the_version(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 1, 0);
	struct key_upload change = {.registration_id = 99};
	struct op_keys_put op = put_of(&alice, &joined, &change);
	struct device_list list;

	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(op.list_version, alice.list_version + 1);
	assert_int_equal(op.one_time, 1);
	list = claim_alice(contract, "c1");
	assert_int_equal(list.devices[0].registration_id, 99);
}

static void stats_tell_the_age_of_the_signed_prekey(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 1, 0);
	struct key_upload change = {.signed_prekey = joined.signed_prekey};
	struct op_keys_put op = put_of(&alice, &joined, &change);
	struct op_keys_stats stats = {.caller = alice.caller};

	contract_now += 5000;
	RUN_OK(contract, KEYS_PUT, &op); /* the same one: as old as it was */
	RUN_OK(contract, KEYS_STATS, &stats);
	assert_int_equal(stats.stats.signed_prekey_id, 1);
	assert_int_equal(stats.stats.signed_prekey_age_s, 5);
	assert_false(stats.stats.pq_last_resort);
	assert_true(bytes_equal(stats.identity_key, joined.identity_key));
	change.signed_prekey = contract_prekey(contract, "next", 2, true);
	change.pq_last_resort = contract_prekey(contract, "last", 1, true);
	RUN_OK(contract, KEYS_PUT, &op);
	RUN_OK(contract, KEYS_STATS, &stats);
	assert_int_equal(stats.stats.signed_prekey_id, 2);
	assert_int_equal(stats.stats.signed_prekey_age_s, 0);
	assert_true(stats.stats.pq_last_resort);
}

/* --- claiming ------------------------------------------------------------------------- */

static void a_bundle_has_all_that_a_sender_needs(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 1, 1);
	int64_t before = metric_get(METRIC_prekeys_claimed_total);
	struct device_list list = claim_alice(contract, "c1");
	const struct device_keys *device = &list.devices[0];

	assert_string_equal(list.address.text, "alice@a.example");
	assert_int_equal(list.list_version, alice.list_version);
	assert_int_equal(list.count, 1);
	assert_int_equal(device->device_id, 1);
	assert_int_equal(device->registration_id, joined.registration_id);
	assert_true(bytes_equal(device->identity_key, joined.identity_key));
	assert_int_equal(device->signed_prekey.id, joined.signed_prekey.id);
	assert_true(
		bytes_equal(device->signed_prekey.signature, joined.signed_prekey.signature));
	assert_true(
		bytes_equal(device->one_time.public_key, joined.one_time.keys[0].public_key));
	assert_true(bytes_equal(device->pq.public_key, joined.pq.keys[0].public_key));
	assert_true(bytes_equal(device->pq.signature, joined.pq.keys[0].signature));
	assert_int_equal(metric_get(METRIC_prekeys_claimed_total) - before, 2);
}

static void keys_are_handed_out_once_in_the_order_of_their_upload(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 0, 0);
	struct key_upload one = {.one_time = contract_prekeys(contract, "a", 7, 2, false)};
	struct key_upload two = {.one_time = contract_prekeys(contract, "b", 3, 1, false)};
	struct op_keys_put op = put_of(&alice, &joined, &one);

	RUN_OK(contract, KEYS_PUT, &op);
	op.upload = &two;
	RUN_OK(contract, KEYS_PUT, &op);
	assert_int_equal(claim_alice(contract, "c1").devices[0].one_time.id, 7);
	assert_int_equal(claim_alice(contract, "c2").devices[0].one_time.id, 8);
	assert_int_equal(claim_alice(contract, "c3").devices[0].one_time.id, 3);
	assert_false(claim_alice(contract, "c4").devices[0].one_time.present);
}

static void the_last_resort_serves_when_pq_keys_are_gone(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 0, 1);

	upload.pq_last_resort = contract_prekey(contract, "last", 77, true);
	register_alice_with(contract, &upload);
	assert_int_equal(claim_alice(contract, "c1").devices[0].pq.id, 1);
	assert_int_equal(claim_alice(contract, "c2").devices[0].pq.id, 77);
	assert_int_equal(claim_alice(contract, "c3").devices[0].pq.id, 77);
}

static void the_same_claim_again_takes_nothing_for_a_day(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct op_claim first, again;

	register_alice(contract, &joined, 3, 0);
	assert_int_equal(claim_as(contract, "bob@b.example", "c1", "alice@a.example", &first),
			 ERR_OK);
	contract_now += 24 * HOURS_MS - 1;
	assert_int_equal(claim_as(contract, "bob@b.example", "c1", "alice@a.example", &again),
			 ERR_OK);
	assert_true(bytes_equal(first.answer, again.answer));
	contract_now += 1;
	assert_int_equal(claim_alice(contract, "c1").devices[0].one_time.id, 2);
	assert_int_equal(claim_alice(contract, "c1").devices[0].one_time.id, 2);
}

static void a_claim_id_is_for_one_request_of_one_claimer(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct op_claim op;

	register_alice(contract, &joined, 3, 0);
	claim_alice(contract, "c1");
	assert_int_equal(claim_as(contract, "eve@b.example", "c1", "alice@a.example", &op),
			 ERR_VALIDATION);
	assert_int_equal(claim_as(contract, "eve@c.example", "c1", "alice@a.example", &op),
			 ERR_OK);
	assert_int_equal(bundles_of(contract, &op).devices[0].one_time.id, 2);
}

static void a_claim_may_name_devices(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct claim_request claim = {.claim_id = "c1", .n_devices = 2, .devices = {3, 9}};
	struct op_claim op = {.claimer = "b.example", .claim = &claim};
	struct device_list list;

	contract_link(contract, &alice, "two");
	contract_link(contract, &alice, "three");
	address_make("bob", "b.example", &claim.requester);
	claim.address = alice.address;
	RUN_OK(contract, CLAIM, &op);
	list = bundles_of(contract, &op);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.devices[0].device_id, 3);
	/* The same devices in another order are the same request. */
	claim.devices[0] = 9;
	claim.devices[1] = 3;
	RUN_OK(contract, CLAIM, &op);
	claim.devices[1] = 2;
	assert_int_equal(RUN(contract, CLAIM, &op), ERR_VALIDATION);
}

static void a_device_that_claims_from_its_own_account_is_left_out(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device other = contract_link(contract, &alice, "tablet");
	struct claim_request claim = {
		.claim_id = "c1", .requester = alice.address, .address = alice.address};
	struct op_claim op = {.claimer = "g1", .claim = &claim, .caller = &alice.caller};
	struct device_list list;

	contract_close_to_strangers(contract, &alice);
	RUN_OK(contract, CLAIM, &op);
	list = bundles_of(contract, &op);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.devices[0].device_id, other.caller.device_id);
	alice.caller.generation += 100;
	assert_int_equal(RUN(contract, CLAIM, &op), ERR_UNAUTHORIZED);
}

static void missing_closed_and_blocked_are_one_answer(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct contract_device bob = contract_register(contract, "bob");
	struct op_claim op;

	contract_consent(contract, &alice, "eve@b.example", CONSENT_BLOCKED);
	contract_close_to_strangers(contract, &bob);
	assert_int_equal(claim_as(contract, "eve@b.example", "c1", "alice@a.example", &op),
			 ERR_UNAVAILABLE);
	assert_int_equal(claim_as(contract, "eve@b.example", "c2", "bob@a.example", &op),
			 ERR_UNAVAILABLE);
	assert_int_equal(claim_as(contract, "eve@b.example", "c3", "nobody@a.example", &op),
			 ERR_UNAVAILABLE);
	assert_int_equal(claim_as(contract, "eve@b.example", "c4", "alice@c.example", &op),
			 ERR_UNAVAILABLE);
}

static void a_device_hears_that_a_kind_runs_low_when_one_was_taken(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 21, 0);
	struct op_claim op;

	claim_as(contract, "bob@b.example", "c1", "alice@a.example", &op);
	assert_null(op.effects.low);
	claim_as(contract, "bob@b.example", "c2", "alice@a.example", &op);
	assert_non_null(op.effects.low);
	assert_int_equal(op.effects.low->generation, alice.caller.generation);
	assert_int_equal(op.effects.low->one_time, 19);
	assert_int_equal(op.effects.low->pq, 0);
	claim_as(contract, "bob@b.example", "c2", "alice@a.example", &op);
	assert_null(op.effects.low);
	for (int i = 0; i < 19; i++)
		claim_alice(contract, arena_printf(contract->arena, "d%d", i));
	claim_as(contract, "bob@b.example", "e", "alice@a.example", &op);
	assert_null(op.effects.low); /* there was nothing to take */
}

static struct device_keys claim_of(struct contract *contract, const char *requester,
				   const char *claim_id)
{
	struct op_claim op;

	assert_int_equal(claim_as(contract, requester, claim_id, "alice@a.example", &op),
			 ERR_OK);
	return bundles_of(contract, &op).devices[0];
}

static void strangers_leave_the_reserve_to_those_who_were_accepted(void **state)
{
	struct contract *contract = *state;
	struct key_upload upload = contract_upload(contract, "phone", 5, 4);
	struct contract_device sue = contract_register(contract, "sue");
	struct claim_request local = {.claim_id = "l", .requester = sue.address};
	struct op_claim op = {.claimer = "g2", .claim = &local, .caller = &sue.caller};
	struct device_keys keys;

	contract->config.prekeys_max = 16; /* a quarter is 4 */
	contract_reopen(contract);
	upload.pq_last_resort = contract_prekey(contract, "last", 77, true);
	local.address = register_alice_with(contract, &upload).address;
	keys = claim_of(contract, "eve@b.example", "c1");
	assert_int_equal(keys.one_time.id, 1);
	assert_int_equal(keys.pq.id, 77);
	keys = claim_of(contract, "eve@b.example", "c2");
	assert_false(keys.one_time.present);
	RUN_OK(contract, CLAIM, &op);
	assert_false(bundles_of(contract, &op).devices[0].one_time.present);
	for (uint32_t i = 1; i <= 4; i++) {
		keys = claim_of(contract, "bob@b.example",
				arena_printf(contract->arena, "d%u", i));
		assert_int_equal(keys.one_time.id, 1 + i);
		assert_int_equal(keys.pq.id, i);
	}
	assert_false(claim_of(contract, "bob@b.example", "e").one_time.present);
}

static void a_removed_devices_claims_are_forgotten(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct contract_device alice = register_alice(contract, &joined, 5, 0);
	struct contract_device tablet = contract_link(contract, &alice, "tablet");
	struct claim_request claim = {
		.claim_id = "c1", .requester = alice.address, .address = alice.address};
	struct op_claim op = {.claim = &claim, .caller = &tablet.caller};

	op.claimer =
		arena_printf(contract->arena, "g%lld", (long long)tablet.caller.generation);
	RUN_OK(contract, CLAIM, &op);
	assert_int_equal(bundles_of(contract, &op).devices[0].one_time.id, 1);
	assert_int_equal(contract_remove(contract, &alice, 2), ERR_OK);
	assert_int_equal(RUN(contract, CLAIM, &op), ERR_UNAUTHORIZED);
}

/* --- remote lists --------------------------------------------------------------------- */

static void put_remote(struct contract *contract, int64_t list_version, size_t count)
{
	struct device_list list = {.list_version = list_version, .count = count};
	struct op_remote_list_put op = {.list = &list};

	address_make("bob", "b.example", &list.address);
	list.devices = arena_array(contract->arena, struct device_keys, count);
	for (size_t i = 0; i < count; i++) {
		list.devices[i].device_id = (uint8_t)(i + 1);
		list.devices[i].registration_id = (uint16_t)(1000 + i);
	}
	RUN_OK(contract, REMOTE_LIST_PUT, &op);
}

/* What a send to device 1 alone comes to is what is known of bob's devices. */
static enum err send_to_bob(struct contract *contract, const struct contract_device *alice,
			    struct op_send *op)
{
	struct envelope *envelope = arena_new(contract->arena, struct envelope);
	struct message_request *message = arena_new(contract->arena, struct message_request);

	*envelope = (struct envelope){
		.device_id = 1, .registration_id = 1000, .content = bytes_of_text("AAAA")};
	message->envelopes = envelope;
	message->n_envelopes = 1;
	address_make("bob", "b.example", &message->to);
	uuid7_create(contract_now, message->id);
	uuid7_format(message->id, message->id_text);
	*op = (struct op_send){.caller = alice->caller, .message = message, .token = "t"};
	return RUN(contract, SEND, op);
}

static void a_remote_list_gives_way_only_to_a_newer_one(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct op_send op;

	put_remote(contract, 10, 1);
	assert_int_equal(send_to_bob(contract, &alice, &op), ERR_OK);
	put_remote(contract, 11, 2);
	assert_int_equal(send_to_bob(contract, &alice, &op), ERR_DEVICES_MISMATCH);
	assert_int_equal(op.mismatch.n_missing, 1);
	assert_int_equal(op.mismatch.missing[0], 2);
	assert_int_equal(op.mismatch.list_version, 11);
	put_remote(contract, 10, 1);
	assert_int_equal(send_to_bob(contract, &alice, &op), ERR_DEVICES_MISMATCH);
}

/* --- many at once --------------------------------------------------------------------- */

#define CLAIMERS	4
#define CLAIMS_OF_EACH	60
#define KEYS_IN_CONTEST 200

struct claimer {
	pthread_t thread;
	struct contract contract; /* shares the store; inbox and arena of its own */
	int number;
	uint32_t got[CLAIMS_OF_EACH];
	size_t n_got;
};

static void *claim_in_thread(void *arg)
{
	struct claimer *claimer = arg;
	struct claim_request *claims =
		arena_array(claimer->contract.arena, struct claim_request, CLAIMS_OF_EACH);
	struct op_claim *ops =
		arena_array(claimer->contract.arena, struct op_claim, CLAIMS_OF_EACH);

	for (int i = 0; i < CLAIMS_OF_EACH; i++) {
		snprintf(claims[i].claim_id, sizeof claims[i].claim_id, "c%d-%d",
			 claimer->number, i);
		address_make("bob", "b.example", &claims[i].requester);
		address_make("alice", CONTRACT_DOMAIN, &claims[i].address);
		ops[i].claimer = "b.example";
		ops[i].claim = &claims[i];
		contract_prepare(&claimer->contract, &ops[i].op, STORE_CLAIM);
		ops[i].op.arena = arena_create();
		if (!store_post(claimer->contract.store, &ops[i].op))
			abort();
	}
	for (int back = 0; back < CLAIMS_OF_EACH; back++) {
		struct op_claim *op = (struct op_claim *)inbox_wait(claimer->contract.inbox, 1);
		struct device_list list;

		if (op->op.err != ERR_OK ||
		    device_list_decode(op->op.arena, op->answer, &list) != ERR_OK)
			abort();
		if (list.devices[0].one_time.present)
			claimer->got[claimer->n_got++] = list.devices[0].one_time.id;
		arena_destroy(&op->op.arena);
	}
	return NULL;
}

static void claims_of_several_threads_never_share_a_key(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined;
	struct claimer claimers[CLAIMERS] = {0};
	bool seen[KEYS_IN_CONTEST + 1] = {false};
	size_t total = 0;

	register_alice(contract, &joined, KEYS_IN_CONTEST, 0);
	for (int i = 0; i < CLAIMERS; i++) {
		claimers[i].number = i;
		claimers[i].contract.store = contract->store;
		claimers[i].contract.inbox = inbox_create(1, NULL, NULL);
		claimers[i].contract.arena = arena_create();
		assert_int_equal(pthread_create(&claimers[i].thread, NULL, claim_in_thread,
						&claimers[i]),
				 0);
	}
	for (int i = 0; i < CLAIMERS; i++) {
		pthread_join(claimers[i].thread, NULL);
		for (size_t k = 0; k < claimers[i].n_got; k++) {
			assert_in_range(claimers[i].got[k], 1, KEYS_IN_CONTEST);
			assert_false(seen[claimers[i].got[k]]);
			seen[claimers[i].got[k]] = true;
		}
		total += claimers[i].n_got;
		inbox_destroy(&claimers[i].contract.inbox);
		arena_destroy(&claimers[i].contract.arena);
	}
	assert_int_equal(total, KEYS_IN_CONTEST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(uploaded_keys_are_added),
		TEST(an_id_that_was_uploaded_is_ignored_also_once_it_was_handed_out),
		TEST(an_upload_over_the_limit_stores_nothing),
		TEST(a_new_identity_ends_all_prekeys_and_raises_the_version),
		TEST(the_same_identity_once_more_ends_nothing),
		TEST(a_new_identity_needs_a_signed_prekey),
		TEST(what_was_verified_against_a_former_identity_is_refused),
		TEST(a_new_registration_id_raises_the_version),
		TEST(stats_tell_the_age_of_the_signed_prekey),
		TEST(a_bundle_has_all_that_a_sender_needs),
		TEST(keys_are_handed_out_once_in_the_order_of_their_upload),
		TEST(the_last_resort_serves_when_pq_keys_are_gone),
		TEST(the_same_claim_again_takes_nothing_for_a_day),
		TEST(a_claim_id_is_for_one_request_of_one_claimer),
		TEST(a_claim_may_name_devices),
		TEST(a_device_that_claims_from_its_own_account_is_left_out),
		TEST(missing_closed_and_blocked_are_one_answer),
		TEST(a_device_hears_that_a_kind_runs_low_when_one_was_taken),
		TEST(strangers_leave_the_reserve_to_those_who_were_accepted),
		TEST(a_removed_devices_claims_are_forgotten),
		TEST(a_remote_list_gives_way_only_to_a_newer_one),
		TEST(claims_of_several_threads_never_share_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Several processes that write to one database: what one has committed is there for the other
 * at its next turn, as if there were one writer. And who may serve a database at all.
 */
#include "cluster.h"

#include "generation.h"

#include "restante/metrics.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Rows of usage that are not what is there. */
#define WRONG_USAGE                                                                            \
	"SELECT count(*) FROM usage WHERE CASE queue"                                          \
	" WHEN 1 THEN (items, bytes) <> (SELECT count(*), coalesce(sum(m.bytes), 0)"           \
	" FROM mailbox m WHERE m.generation = key AND m.bytes > 0)"                            \
	" ELSE (items, bytes) <> (SELECT count(*), coalesce(sum(o.bytes), 0)"                  \
	" FROM outbox o WHERE o.destination_key = key) END"

static void usage_must_be_right(const struct cluster *cluster, int64_t rows)
{
	assert_int_equal(cluster_ask(cluster, WRONG_USAGE), 0);
	assert_int_equal(cluster_ask(cluster, "SELECT count(*) FROM usage"), rows);
}

/* ann and bob, who take what the other sends; both processes have written for both. */
struct couple {
	struct contract_device ann, bob;
};

static struct couple couple_make(struct cluster *cluster)
{
	struct couple couple = {.ann = contract_register(&cluster->at[0], "ann"),
				.bob = contract_register(&cluster->at[1], "bob")};

	for (size_t i = 0; i < 2; i++) {
		struct contract *at = &cluster->at[i];

		mail_send_ok(at, &couple.ann, MAIL_TO(at, &couple.bob));
		mail_send_ok(at, &couple.bob, MAIL_TO(at, &couple.ann));
		mail_ack_all(at, &couple.ann);
		mail_ack_all(at, &couple.bob);
	}
	return couple;
}

/* --- mailboxes ------------------------------------------------------------------------ */

static void numbers_of_a_mailbox_rise_in_the_order_of_commits(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);
	int64_t last = 0;

	for (size_t i = 0; i < 6; i++) {
		struct contract *at = &cluster->at[i % 2];
		struct op_send send = mail_send(at, &couple.ann, MAIL_TO(at, &couple.bob));
		const struct delivery *delivery = send.effects.deliveries;

		assert_true(delivery->item.seq > last);
		assert_true(last == 0 || delivery->previous == last);
		last = delivery->item.seq;
	}
	assert_int_equal(mail_count(&cluster->at[0], &couple.bob), 6);
}

static void what_is_full_is_full_for_all(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple;

	for (size_t i = 0; i < 2; i++) {
		cluster_close(cluster, i);
		cluster->at[i].config.mailbox_items = 4;
		cluster_open(cluster, i);
	}
	couple = couple_make(cluster);
	for (size_t i = 0; i < 6; i++) {
		struct contract *at = &cluster->at[i % 2];
		struct op_send send = mail_send(at, &couple.ann, MAIL_TO(at, &couple.bob));

		assert_int_equal(send.op.err, i < 4 ? ERR_OK : ERR_OVER_QUOTA);
	}
	mail_ack(&cluster->at[1], &couple.bob,
		 mail_read(&cluster->at[1], &couple.bob).items[0].seq);
	mail_send_ok(&cluster->at[0], &couple.ann, MAIL_TO(&cluster->at[0], &couple.bob));
	assert_int_equal(
		mail_send(&cluster->at[1], &couple.ann, MAIL_TO(&cluster->at[1], &couple.bob))
			.op.err,
		ERR_OVER_QUOTA);
	usage_must_be_right(cluster, 2);
}

/* Is a message of another node stored? Long after the one before. */
static bool is_taken(struct contract *at, const struct contract_device *to)
{
	static unsigned streams = 0;
	struct fed_item item = fed_message(MAIL_TO(at, to), REMOTE);
	struct op_transaction op =
		fed_take(at, arena_printf(at->arena, "s%u", ++streams), 1, 1, &item, 1);

	contract_now += 10 * SECONDS_MS;
	assert_int_equal(op.op.err, ERR_OK);
	return !mail_has(op.answer, "over_quota");
}

static void half_of_a_mailbox_is_half_through_both_processes(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct couple couple;

	for (size_t i = 0; i < 2; i++) {
		cluster_close(cluster, i);
		cluster->at[i].config.mailbox_items = 20;
		cluster_open(cluster, i);
	}
	couple = couple_make(cluster);
	for (size_t i = 0; i < 5; i++)
		mail_send_ok(first, &couple.ann, MAIL_TO(first, &couple.bob));
	for (size_t i = 0; i < 6; i++)
		assert_true(is_taken(first, &couple.bob)); /* which has counted in the end */
	for (size_t i = 0; i < 4; i++)
		assert_true(is_taken(second, &couple.bob));
	assert_false(is_taken(first, &couple.bob));
	assert_false(is_taken(second, &couple.bob));
}

static void usage_is_right_after_what_others_have_removed(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct couple couple = couple_make(cluster);
	struct message_request *brief = MAIL_TO(first, &couple.bob);
	struct op_expire expire = {.limit = 100};

	brief->expires_in_ms = 1 * HOURS_MS;
	mail_send_ok(second, &couple.ann, brief);
	mail_send_ok(second, &couple.ann, MAIL_TO(second, &couple.bob));
	mail_send_ok(first, &couple.bob, MAIL_TO(first, &couple.ann));
	contract_now += 1 * HOURS_MS;
	RUN_OK(first, EXPIRE, &expire);
	assert_int_equal(expire.envelopes_removed, 1);
	mail_ack_all(second, &couple.ann);
	usage_must_be_right(cluster, 2);
}

static void usage_without_a_row_is_counted(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);

	mail_send_ok(&cluster->at[0], &couple.ann, MAIL_TO(&cluster->at[0], &couple.bob));
	cluster_execute(cluster, "DELETE FROM usage");
	mail_send_ok(&cluster->at[1], &couple.ann, MAIL_TO(&cluster->at[1], &couple.bob));
	usage_must_be_right(cluster, 1);
	assert_int_equal(cluster_ask(cluster, "SELECT items FROM usage"), 2);
}

/* And those that it has left are not wrong when another one comes. */
static void a_process_that_is_alone_needs_no_rows(void **state)
{
	struct cluster *cluster = *state;
	struct contract *second = &cluster->at[1], *third = &cluster->at[2];
	struct couple couple = couple_make(cluster);

	cluster_close(cluster, 0);
	for (size_t i = 0; i < 3; i++)
		mail_send_ok(second, &couple.ann, MAIL_TO(second, &couple.bob));
	usage_must_be_right(cluster, 1); /* that of ann's mailbox */
	cluster_open(cluster, 2);
	mail_send_ok(third, &couple.ann, MAIL_TO(third, &couple.bob));
	mail_send_ok(second, &couple.ann, MAIL_TO(second, &couple.bob));
	mail_send_ok(third, &couple.bob, MAIL_TO(third, &couple.ann));
	usage_must_be_right(cluster, 2);
	assert_int_equal(cluster_ask(cluster, "SELECT max(items) FROM usage"), 5);
}

static void usage_goes_with_its_device_and_with_its_destination(void **state)
{
	struct cluster *cluster = *state;
	struct contract *first = &cluster->at[0], *second = &cluster->at[1];
	struct couple couple = couple_make(cluster);
	struct contract_device tablet = contract_link(first, &couple.bob, "tablet");
	struct op_destination_remove idle = {.domain = "b.example"};

	mail_send_ok(first, &couple.ann, MAIL_TO(first, &couple.bob, &tablet));
	mail_send_ok(first, &couple.ann, mail_to_remote(first, REMOTE));
	usage_must_be_right(cluster, 4);
	assert_int_equal(contract_remove(second, &couple.bob, tablet.caller.device_id), ERR_OK);
	usage_must_be_right(cluster, 3);
	outbox_settle(first, "b.example", INT64_MAX, NULL, 0);
	RUN_OK(first, DESTINATION_REMOVE, &idle);
	assert_int_equal(idle.removed, 1);
	usage_must_be_right(cluster, 2);
}

/* --- many at once ----------------------------------------------------------------------- */

#define THREADS	 8
#define MESSAGES 40

struct poster {
	struct contract contract; /* with an inbox and an arena of its own */
	struct contract_device from;
	const struct contract_device *to;
	bool to_remote;
	pthread_t thread;
	struct op_send sends[MESSAGES];
};

static void *post_all(void *arg)
{
	struct poster *poster = arg;
	struct contract *contract = &poster->contract;

	for (size_t i = 0; i < MESSAGES; i++)
		poster->sends[i] =
			mail_send(contract, &poster->from,
				  poster->to_remote ? mail_to_remote(contract, REMOTE)
						    : MAIL_TO(contract, poster->to));
	return NULL;
}

static struct poster *posters_run(struct cluster *cluster, const struct contract_device *to,
				  bool to_remote)
{
	struct poster *posters = calloc(THREADS, sizeof *posters);

	for (size_t i = 0; i < THREADS; i++) {
		struct poster *poster = &posters[i];

		poster->contract = cluster->at[i % 2];
		poster->contract.inbox = inbox_create(1, NULL, NULL);
		poster->contract.arena = arena_create();
		poster->from = contract_register(
			&cluster->at[i % 2], arena_printf(cluster->at[0].arena, "user%zu", i));
		poster->to = to;
		poster->to_remote = to_remote;
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(posters[i].thread, NULL);
	return posters;
}

static void posters_free(struct poster *posters)
{
	for (size_t i = 0; i < THREADS; i++) {
		inbox_destroy(&posters[i].contract.inbox);
		arena_destroy(&posters[i].contract.arena);
	}
	free(posters);
}

static int by_seq(const void *a, const void *b)
{
	const struct delivery *const *left = a, *const *right = b;

	return (*left)->item.seq < (*right)->item.seq ? -1 : 1;
}

static void many_letters_through_two_processes_make_one_order(void **state)
{
	struct cluster *cluster = *state;
	struct contract_device bob = contract_register(&cluster->at[0], "bob");
	struct poster *posters = posters_run(cluster, &bob, false);
	const struct delivery *all[THREADS * MESSAGES];

	for (size_t t = 0; t < THREADS; t++)
		for (size_t i = 0; i < MESSAGES; i++) {
			const struct op_send *send = &posters[t].sends[i];

			assert_int_equal(send->op.err, ERR_OK);
			all[t * MESSAGES + i] = send->effects.deliveries;
			if (i > 0) /* the one before was committed before this one was posted */
				assert_true(all[t * MESSAGES + i]->item.seq >
					    all[t * MESSAGES + i - 1]->item.seq);
		}
	qsort(all, THREADS * MESSAGES, sizeof *all, by_seq);
	for (size_t i = 1; i < THREADS * MESSAGES; i++)
		assert_int_equal(all[i]->previous, all[i - 1]->item.seq);
	assert_int_equal(cluster_ask(cluster, "SELECT items FROM usage"), THREADS * MESSAGES);
	usage_must_be_right(cluster, 1);
	posters_free(posters);
}

static void many_letters_to_another_node_lie_without_gaps(void **state)
{
	struct cluster *cluster = *state;
	struct poster *posters = posters_run(cluster, NULL, true);

	for (size_t t = 0; t < THREADS; t++)
		for (size_t i = 0; i < MESSAGES; i++)
			assert_int_equal(posters[t].sends[i].op.err, ERR_OK);
	assert_int_equal(cluster_ask(cluster, "SELECT count(DISTINCT position) FROM outbox"),
			 THREADS * MESSAGES);
	assert_int_equal(cluster_ask(cluster, "SELECT max(position) FROM outbox"),
			 THREADS * MESSAGES);
	assert_int_equal(cluster_ask(cluster, "SELECT last FROM usage"), THREADS * MESSAGES);
	usage_must_be_right(cluster, 1);
	posters_free(posters);
}

/* --- promises ----------------------------------------------------------------------------- */

static void a_message_that_comes_by_both_processes_is_delivered_once(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);
	struct message_request *message = MAIL_TO(&cluster->at[0], &couple.bob);

	assert_non_null(mail_send(&cluster->at[0], &couple.ann, message).effects.deliveries);
	assert_null(mail_send(&cluster->at[1], &couple.ann, message).effects.deliveries);
	assert_int_equal(mail_count(&cluster->at[1], &couple.bob), 1);
}

/* What a batch has asked about ids holds for that batch alone. */
static void a_message_that_was_refused_here_and_went_there_is_delivered_once(void **state)
{
	struct cluster *cluster = *state;
	struct contract *here = &cluster->at[0];
	struct couple couple = couple_make(cluster);
	struct message_request *message = MAIL_TO(here, &couple.bob);
	struct message_request wrong = *message;
	struct op_send sends[] = {
		{.caller = couple.ann.caller, .message = &wrong},
		{.caller = couple.ann.caller, .message = MAIL_TO(here, &couple.bob)},
	};

	wrong.n_envelopes = 0;
	mail_send_together(here, sends, 2);
	assert_int_equal(sends[0].op.err, ERR_DEVICES_MISMATCH);
	mail_send_ok(&cluster->at[1], &couple.ann, message);
	assert_true(mail_send(here, &couple.ann, message).duplicate);
	assert_int_equal(mail_count(here, &couple.bob), 2);
}

static bool claim_gets_one_time_key(struct contract *contract, const char *claim_id)
{
	struct claim_request *claim = arena_new(contract->arena, struct claim_request);
	struct op_claim op = {.claimer = "b.example", .claim = claim};
	struct device_list list = {0};

	snprintf(claim->claim_id, sizeof claim->claim_id, "%s", claim_id);
	assert_int_equal(address_parse(bytes_of_text(REMOTE), &claim->requester), ERR_OK);
	assert_int_equal(address_parse(bytes_of_text("ann@a.example"), &claim->address),
			 ERR_OK);
	RUN_OK(contract, CLAIM, &op);
	assert_int_equal(device_list_decode(contract->arena, op.answer, &list), ERR_OK);
	return list.devices[0].one_time.present;
}

static void a_one_time_key_goes_out_once(void **state)
{
	struct cluster *cluster = *state;
	struct key_upload upload = contract_upload(&cluster->at[0], "phone", 1, 0);
	struct contract_device ann =
		contract_register_with(&cluster->at[0], "ann", &upload, NULL);

	contract_consent(&cluster->at[0], &ann, REMOTE, CONSENT_ACCEPTED);
	assert_true(claim_gets_one_time_key(&cluster->at[0], "c1"));
	assert_false(claim_gets_one_time_key(&cluster->at[1], "c2"));
	assert_true(claim_gets_one_time_key(&cluster->at[1], "c1")); /* the same answer */
}

static void that_another_node_has_called_is_told_once_in_a_while(void **state)
{
	struct cluster *cluster = *state;
	struct contract *at = &cluster->at[0];
	struct contract_device ann = contract_register(at, "ann");
	struct fed_item item = fed_message(MAIL_TO(at, &ann), REMOTE);
	const struct op_transaction refused = fed_take(at, "s", 9, 9, &item, 1);
	const struct op_transaction first = fed_take(at, "s", 1, 1, &item, 1);

	assert_int_equal(refused.op.err, ERR_STREAM_RESET);
	assert_string_equal(first.effects.heard->domain, "b.example");
	assert_null(fed_take(at, "s", 2, 2, &item, 1).effects.heard);
	contract_now += MINUTES_MS;
	assert_non_null(fed_take(at, "s", 3, 3, &item, 1).effects.heard);
}

static void a_stream_of_another_node_goes_on_at_either(void **state)
{
	struct cluster *cluster = *state;
	struct fed_item item = {.kind = FED_VOID};

	for (int64_t seq = 1; seq < 6; seq++) {
		struct contract *at = &cluster->at[seq % 2], *other = &cluster->at[1 - seq % 2];

		assert_int_equal(fed_take(at, "s", seq, 1, &item, 1).op.err, ERR_OK);
		assert_true(fed_take(other, "s", seq, 1, &item, 1).replay);
	}
	assert_int_equal(fed_take(&cluster->at[0], "s", 7, 1, &item, 1).op.err,
			 ERR_STREAM_RESET);
}

/* --- what is remembered of others -------------------------------------------------------- */

static enum err letter_err(struct contract *at, const struct contract_device *from,
			   const struct contract_device *to)
{
	return mail_send(at, from, MAIL_TO(at, to)).op.err;
}

static void a_removed_device_is_refused_by_the_other_process(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);
	struct contract_device tablet = contract_link(&cluster->at[0], &couple.ann, "tablet");

	assert_int_equal(letter_err(&cluster->at[1], &tablet, &couple.bob), ERR_OK);
	assert_int_equal(contract_remove(&cluster->at[0], &couple.ann, 2), ERR_OK);
	assert_int_equal(letter_err(&cluster->at[1], &tablet, &couple.bob), ERR_UNAUTHORIZED);
	assert_int_equal(letter_err(&cluster->at[1], &couple.bob, &couple.ann), ERR_OK);
}

static void a_session_that_ended_is_refused_by_the_other_process(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);
	struct op_session_end end = {.caller = couple.ann.caller};

	RUN_OK(&cluster->at[0], SESSION_END, &end);
	assert_int_equal(letter_err(&cluster->at[1], &couple.ann, &couple.bob),
			 ERR_UNAUTHORIZED);
}

static void a_blocked_sender_is_refused_by_the_other_process(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);

	contract_consent(&cluster->at[0], &couple.bob, "ann@a.example", CONSENT_BLOCKED);
	assert_int_equal(letter_err(&cluster->at[1], &couple.ann, &couple.bob),
			 ERR_UNAVAILABLE);
}

static void a_stranger_leaves_one_request_with_both_processes(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);

	contract_meet_strangers(&cluster->at[0], &couple.bob, STRANGERS_REQUEST);
	contract_meet_strangers(&cluster->at[1], &couple.ann, STRANGERS_REQUEST);
	cluster_execute(cluster, "DELETE FROM consent; UPDATE turn SET known = known + 1");
	assert_int_equal(letter_err(&cluster->at[0], &couple.ann, &couple.bob), ERR_OK);
	assert_int_equal(letter_err(&cluster->at[1], &couple.ann, &couple.bob),
			 ERR_REQUEST_WAITING);
}

static void who_is_written_to_is_accepted_by_the_other_process(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);

	contract_meet_strangers(&cluster->at[0], &couple.ann, STRANGERS_REQUEST);
	contract_meet_strangers(&cluster->at[0], &couple.bob, STRANGERS_REQUEST);
	cluster_execute(cluster, "DELETE FROM consent; UPDATE turn SET known = known + 1");
	assert_int_equal(letter_err(&cluster->at[1], &couple.ann, &couple.bob), ERR_OK);
	assert_int_equal(letter_err(&cluster->at[0], &couple.ann, &couple.bob),
			 ERR_REQUEST_WAITING);
	assert_int_equal(letter_err(&cluster->at[1], &couple.bob, &couple.ann), ERR_OK);
	assert_int_equal(letter_err(&cluster->at[0], &couple.ann, &couple.bob), ERR_OK);
}

static int64_t epoch(const struct cluster *cluster)
{
	return cluster_ask(cluster, "SELECT known FROM turn");
}

static void letters_leave_what_others_remember_alone(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);
	int64_t before = epoch(cluster);

	assert_int_equal(letter_err(&cluster->at[0], &couple.ann, &couple.bob), ERR_OK);
	mail_ack_all(&cluster->at[1], &couple.bob);
	assert_int_equal(epoch(cluster), before);
	contract_link(&cluster->at[0], &couple.ann, "tablet");
	assert_true(epoch(cluster) > before);
}

/* --- who serves --------------------------------------------------------------------------- */

static int64_t processes(const struct cluster *cluster)
{
	return cluster_ask(cluster, "SELECT count(*) FROM process");
}

static void the_first_process_alone_does_the_housekeeping(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);
	struct op_expire expire = {.limit = 100};

	mail_send_ok(&cluster->at[1], &couple.ann, MAIL_TO(&cluster->at[1], &couple.bob));
	contract_now += 30 * DAYS_MS;
	RUN_OK(&cluster->at[1], EXPIRE, &expire);
	assert_int_equal(expire.removed, 0);
	cluster_close(cluster, 0);
	RUN_OK(&cluster->at[1], EXPIRE, &expire);
	assert_true(expire.removed > 0);
}

static void a_process_that_stops_leaves_nothing(void **state)
{
	struct cluster *cluster = *state;

	assert_int_equal(processes(cluster), 2);
	cluster_close(cluster, 1);
	assert_int_equal(processes(cluster), 1);
	cluster_open(cluster, 2);
	assert_int_equal(processes(cluster), 2);
}

/* As after a kill, or in a backup that was put back. */
static void what_dead_processes_have_left_is_removed_at_a_start(void **state)
{
	struct cluster *cluster = *state;
	struct couple couple = couple_make(cluster);

	mail_send_ok(&cluster->at[0], &couple.ann, mail_to_remote(&cluster->at[0], REMOTE));
	cluster_execute(cluster, "INSERT INTO process VALUES (99, 'a.example');"
				 "INSERT INTO session VALUES (1, 99, 1), (2, 98, 2);"
				 "UPDATE destination SET holder = 99");
	cluster_open(cluster, 2);
	assert_int_equal(processes(cluster), 3);
	assert_int_equal(cluster_ask(cluster, "SELECT count(*) FROM session"), 0);
	assert_int_equal(cluster_ask(cluster, "SELECT count(holder) FROM destination"), 0);
}

static void a_node_of_another_domain_is_refused(void **state)
{
	struct cluster *cluster = *state;
	struct contract *third = &cluster->at[2];

	third->config.domain = "other.example";
	assert_int_equal(store_open(&third->config, &third->store), ERR_STORE);
	third->config.domain = CONTRACT_DOMAIN;
	cluster_open(cluster, 2);
}

static void nobody_has_a_database_alone_that_is_served(void **state)
{
	struct cluster *cluster = *state;
	struct contract *third = &cluster->at[2];
	struct op_restore_mark mark = {0};
	struct store *serving = NULL;

	third->config.serves = false;
	third->config.alone = true;
	cluster_open(cluster, 2);
	assert_int_equal(RUN(third, RESTORE_MARK, &mark), ERR_STORE);
	cluster_close(cluster, 0);
	cluster_close(cluster, 1);
	cluster_close(cluster, 2);
	cluster_open(cluster, 2);
	RUN_OK(third, RESTORE_MARK, &mark);
	assert_int_equal(store_open(&cluster->at[0].config, &serving), ERR_STORE);
}

static void an_older_database_is_updated_when_nobody_serves_it(void **state)
{
	struct cluster *cluster = *state;
	struct contract *third = &cluster->at[2];

	cluster_execute(cluster, "DELETE FROM migration WHERE number ="
				 " (SELECT max(number) FROM migration)");
	assert_int_equal(store_open(&third->config, &third->store), ERR_STORE);
	cluster_execute(cluster, "INSERT INTO migration"
				 " SELECT max(number) + 1 FROM migration");
	cluster_open(cluster, 2);
}

static void a_restore_is_found_by_the_first_that_starts(void **state)
{
	struct cluster *cluster = *state;
	int64_t before = metric_get(METRIC_restores_total);
	struct op_restore_mark mark = {0};

	RUN_OK(&cluster->at[0], RESTORE_MARK, &mark);
	cluster_open(cluster, 2);
	assert_int_equal(metric_get(METRIC_restores_total), before);
	for (size_t i = 0; i < 3; i++)
		cluster_close(cluster, i);
	cluster_open(cluster, 1);
	cluster_open(cluster, 2);
	assert_int_equal(metric_get(METRIC_restores_total), before + 1);
}

/* Numbers beside the database never are ahead of it, whoever has raised it last. */
static void starts_and_stops_in_any_order_are_no_restore(void **state)
{
	struct cluster *cluster = *state;
	int64_t before = metric_get(METRIC_restores_total);
	struct op_expire expire = {.limit = 1};

	for (size_t i = 0; i < 8; i++) {
		cluster_close(cluster, i % 2);
		contract_now += 1 * MINUTES_MS;
		RUN_OK(&cluster->at[1 - i % 2], EXPIRE, &expire);
		cluster_open(cluster, i % 2);
	}
	cluster_close(cluster, 0);
	cluster_close(cluster, 1);
	cluster_open(cluster, 0);
	assert_int_equal(metric_get(METRIC_restores_total), before);
}

/* --- processes that have to end ----------------------------------------------------------- */

static bool is_told(int fd)
{
	char byte;

	return read(fd, &byte, 1) == 1;
}

static bool say(int fd)
{
	return write(fd, "", 1) == 1;
}

static void child_run(struct cluster *cluster, int hear, int tell)
{
	struct contract *third = &cluster->at[2];
	struct op_restore_mark mark = {0};

	if (!is_told(hear))
		_exit(3);
	cluster_open(cluster, 2);
	RUN(third, RESTORE_MARK, &mark);
	if (!say(tell) || !is_told(hear))
		_exit(3);
	for (int i = 0; i < 20; i++)
		RUN(third, RESTORE_MARK, &mark);
	_exit(mark.op.err == ERR_OK ? 0 : 2);
}

static const struct generation generation_of_others = {.number = 5000};

/* A child serves, alone or beside the two; something happens to the database; then it writes.
 * How the child ends. While it is made there are no other threads, whose locks it would have
 * for ever. */
static int child_status(struct cluster *cluster, bool alone, const char *sql)
{
	int there[2], back[2], status;
	pid_t child;

	assert_int_equal(pipe(there) | pipe(back), 0);
	cluster_close(cluster, 0);
	cluster_close(cluster, 1);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		child_run(cluster, back[0], there[1]);
	if (!alone) {
		cluster_open(cluster, 0);
		cluster_open(cluster, 1);
	}
	assert_true(say(back[1]));
	assert_true(is_told(there[0]));
	cluster_execute(cluster, sql);
	/* As another process may, where several have one folder. */
	assert_int_equal(generation_write(cluster->at[2].dir, &generation_of_others), ERR_OK);
	assert_true(say(back[1]));
	assert_int_equal(waitpid(child, &status, 0), child);
	for (size_t i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	return WEXITSTATUS(status);
}

static void a_process_that_was_taken_for_dead_ends(void **state)
{
	struct cluster *cluster = *state;

	assert_int_equal(child_status(cluster, false,
				      "DELETE FROM process WHERE process_key ="
				      " (SELECT max(process_key) FROM process)"),
			 1);
	assert_int_equal(processes(cluster), 2);
}

static void a_process_goes_on_while_it_has_its_row(void **state)
{
	assert_int_equal(
		child_status(*state, false, "SELECT 1; UPDATE turn SET known = known + 1"), 0);
}

/* As on a standby that was promoted too early. */
static void where_one_has_lost_something_all_have_to_start_again(void **state)
{
	struct cluster *cluster = *state;

	cluster_execute(cluster, "UPDATE meta SET value = 0 WHERE name = 'restore_mark'");
	assert_int_equal(child_status(cluster, true,
				      "INSERT INTO process VALUES (99, 'a.example');"
				      "UPDATE writer SET batch = batch - 1"),
			 1);
	assert_int_equal(processes(cluster), 0);
	assert_int_equal(
		cluster_ask(cluster, "SELECT value FROM meta WHERE name = 'restore_mark'"), 1);
	assert_int_equal(generation_read(cluster->at[2].dir).number,
			 generation_of_others.number + 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, cluster_setup, cluster_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(numbers_of_a_mailbox_rise_in_the_order_of_commits),
		T(what_is_full_is_full_for_all),
		T(half_of_a_mailbox_is_half_through_both_processes),
		T(usage_is_right_after_what_others_have_removed),
		T(usage_without_a_row_is_counted),
		T(a_process_that_is_alone_needs_no_rows),
		T(usage_goes_with_its_device_and_with_its_destination),
		T(many_letters_through_two_processes_make_one_order),
		T(many_letters_to_another_node_lie_without_gaps),
		T(a_message_that_comes_by_both_processes_is_delivered_once),
		T(a_message_that_was_refused_here_and_went_there_is_delivered_once),
		T(a_one_time_key_goes_out_once),
		T(that_another_node_has_called_is_told_once_in_a_while),
		T(a_stream_of_another_node_goes_on_at_either),
		T(a_removed_device_is_refused_by_the_other_process),
		T(a_session_that_ended_is_refused_by_the_other_process),
		T(a_blocked_sender_is_refused_by_the_other_process),
		T(a_stranger_leaves_one_request_with_both_processes),
		T(who_is_written_to_is_accepted_by_the_other_process),
		T(letters_leave_what_others_remember_alone),
		T(the_first_process_alone_does_the_housekeeping),
		T(a_process_that_stops_leaves_nothing),
		T(what_dead_processes_have_left_is_removed_at_a_start),
		T(a_node_of_another_domain_is_refused),
		T(nobody_has_a_database_alone_that_is_served),
		T(an_older_database_is_updated_when_nobody_serves_it),
		T(a_restore_is_found_by_the_first_that_starts),
		T(starts_and_stops_in_any_order_are_no_restore),
		T(a_process_that_was_taken_for_dead_ends),
		T(a_process_goes_on_while_it_has_its_row),
		T(where_one_has_lost_something_all_have_to_start_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

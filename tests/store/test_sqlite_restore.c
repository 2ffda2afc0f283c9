/* SPDX-License-Identifier: MIT
 *
 * Restored from a backup: each sign is noticed and acted on, and what only looks like one is
 * not. The store serves here, as for a node; between its runs files are put back.
 */
#include "mail.h"

#include "fault.h"

#include "restante/metrics.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS 5

static int setup(void **state)
{
	struct contract *contract;
	int failed = contract_setup(state);

	contract = *state;
	contract_now = clock_now_ms();
	contract->config.serves = true;
	contract_reopen(contract);
	return failed;
}

static const char *path_of(struct contract *contract, const char *name)
{
	return arena_printf(contract->arena, "%s/%s", contract->dir, name);
}

/* --- files ---------------------------------------------------------------------------- */

struct copy {
	const char *name;
	uint8_t *data;
	size_t len;
};

static struct copy copy_take(struct contract *contract, const char *name)
{
	struct copy copy = {.name = name};

	copy.data = support_read_file(path_of(contract, name), &copy.len);
	return copy;
}

static void write_file(const char *path, const struct copy *copy, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, S_IRUSR | S_IWUSR);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, copy->data, copy->len), copy->len);
	close(fd);
}

/* As cp does: into the file that is there. */
static void copy_write_over(struct contract *contract, const struct copy *copy)
{
	write_file(path_of(contract, copy->name), copy, O_TRUNC);
	free(copy->data);
}

/* As most programs that restore do: the name now means another file. */
static void copy_put_in_place(struct contract *contract, const struct copy *copy)
{
	const char *path = path_of(contract, "copy");

	write_file(path, copy, O_CREAT | O_EXCL);
	assert_int_equal(rename(path, path_of(contract, copy->name)), 0);
	free(copy->data);
}

/* While nobody has the database open. */
static void database_execute(struct contract *contract, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path_of(contract, "restante.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Of a database that somebody else has open: what the command .backup does. */
static void database_back_up(struct contract *contract, const char *to)
{
	sqlite3 *from, *copy;
	sqlite3_backup *backup;

	assert_int_equal(sqlite3_open(path_of(contract, "restante.db"), &from), SQLITE_OK);
	assert_int_equal(sqlite3_open(path_of(contract, to), &copy), SQLITE_OK);
	backup = sqlite3_backup_init(copy, "main", from, "main");
	assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
	assert_int_equal(sqlite3_backup_finish(backup), SQLITE_OK);
	assert_int_equal(sqlite3_close(copy), SQLITE_OK);
	assert_int_equal(sqlite3_close(from), SQLITE_OK);
}

/* --- runs ----------------------------------------------------------------------------- */

/* How many restores the next start finds. */
static int64_t restores_at_start(struct contract *contract)
{
	int64_t before = metric_get(METRIC_restores_total);

	contract_open(contract);
	return metric_get(METRIC_restores_total) - before;
}

static int64_t restores_at_restart(struct contract *contract)
{
	store_close(&contract->store);
	return restores_at_start(contract);
}

/* Runs a node in a process of its own that ends without a word. */
static void run_and_die(struct contract *contract, void (*run)(struct contract *contract))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		contract->inbox = inbox_create(1, NULL, NULL);
		run(contract);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void just_start(struct contract *contract)
{
	contract_open(contract);
}

/* Housekeeping, as a node does it every minute. */
static void live_a_minute(struct contract *contract)
{
	struct op_expire expire = {.limit = 100};

	contract_now += 1 * MINUTES_MS;
	RUN_OK(contract, EXPIRE, &expire);
}

static struct contract_device alice_with_keys(struct contract *contract)
{
	struct key_upload upload = contract_upload(contract, "phone", KEYS, KEYS);

	return contract_register_with(contract, "alice", &upload, NULL);
}

static struct key_stats stats_of(struct contract *contract,
				 const struct contract_device *device)
{
	struct op_keys_stats op = {.caller = device->caller};

	RUN_OK(contract, KEYS_STATS, &op);
	return op.stats;
}

static struct op_claim claim_alice(struct contract *contract, const char *claim_id,
				   struct device_list *list_out)
{
	struct claim_request *claim = arena_new(contract->arena, struct claim_request);
	struct op_claim op = {.claimer = "b.example", .claim = claim};

	snprintf(claim->claim_id, sizeof claim->claim_id, "%s", claim_id);
	address_make("bob", "b.example", &claim->requester);
	address_make("alice", CONTRACT_DOMAIN, &claim->address);
	RUN_OK(contract, CLAIM, &op);
	assert_int_equal(device_list_decode(contract->arena, op.answer, list_out), ERR_OK);
	return op;
}

/* --- what is no sign ------------------------------------------------------------------ */

static void a_first_start_is_no_restore(void **state)
{
	struct contract *contract = *state;

	store_close(&contract->store);
	assert_int_equal(unlink(path_of(contract, "restante.db")), 0);
	assert_int_equal(unlink(path_of(contract, "generation")), 0);
	assert_int_equal(restores_at_start(contract), 0);
}

static void a_database_without_records_is_no_restore(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = alice_with_keys(contract);

	store_close(&contract->store);
	database_execute(contract, "DELETE FROM meta WHERE name != 'mailbox_seq'");
	assert_int_equal(unlink(path_of(contract, "generation")), 0);
	assert_int_equal(restores_at_start(contract), 0);
	assert_int_equal(stats_of(contract, &alice).one_time, KEYS);
}

static void restarts_are_no_restore(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = alice_with_keys(contract);

	for (int i = 0; i < 3; i++) {
		live_a_minute(contract);
		assert_int_equal(restores_at_restart(contract), 0);
	}
	assert_int_equal(stats_of(contract, &alice).one_time, KEYS);
	assert_int_equal(stats_of(contract, &alice).pq, KEYS);
}

static void live_and_start(struct contract *contract)
{
	contract_open(contract);
	live_a_minute(contract);
	live_a_minute(contract);
}

static void an_end_without_a_word_is_no_restore(void **state)
{
	struct contract *contract = *state;

	store_close(&contract->store);
	run_and_die(contract, just_start);
	run_and_die(contract, just_start);
	run_and_die(contract, live_and_start);
	assert_int_equal(restores_at_start(contract), 0);
}

static _Noreturn void start_and_stop_for_ever(struct contract *contract, int fd)
{
	contract->inbox = inbox_create(1, NULL, NULL);
	for (;;) {
		contract_open(contract);
		if (metric_get(METRIC_restores_total) > 0 || write(fd, "", 1) != 1)
			_exit(1);
		live_a_minute(contract);
		store_close(&contract->store);
	}
}

static void a_kill_at_any_time_is_no_restore(void **state)
{
	struct contract *contract = *state;

	store_close(&contract->store);
	for (int round = 0; round < 30; round++) {
		int fds[2];
		int status;
		char byte;
		pid_t child;

		assert_int_equal(pipe(fds), 0);
		child = fork();
		if (child == 0)
			start_and_stop_for_ever(contract, fds[1]);
		close(fds[1]);
		assert_int_equal(read(fds[0], &byte, 1), 1);
		nanosleep(&(struct timespec){.tv_nsec = crypto_random_u32_below(30000000)},
			  NULL);
		kill(child, SIGKILL);
		close(fds[0]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(restores_at_start(contract), 0);
		store_close(&contract->store);
	}
	contract_open(contract);
}

static void a_command_on_a_stopped_node_is_no_restore(void **state)
{
	struct contract *contract = *state;
	struct op_invite_create invite = {.expires_ms = contract_now + 1 * DAYS_MS};

	store_close(&contract->store);
	contract->config.serves = false;
	contract_open(contract);
	contract_hash(invite.invite_hash);
	RUN_OK(contract, INVITE_CREATE, &invite);
	store_close(&contract->store);
	contract->config.serves = true;
	assert_int_equal(restores_at_start(contract), 0);
}

static void only_a_node_looks_for_signs(void **state)
{
	struct contract *contract = *state;
	struct copy copy;

	store_close(&contract->store);
	copy = copy_take(contract, "restante.db");
	copy_put_in_place(contract, &copy);
	contract->config.serves = false;
	assert_int_equal(restores_at_start(contract), 0);
	store_close(&contract->store);
	contract->config.serves = true;
	assert_int_equal(restores_at_start(contract), 1);
}

/* --- signs ---------------------------------------------------------------------------- */

static void another_file_is_noticed_once(void **state)
{
	struct contract *contract = *state;
	struct copy copy;

	store_close(&contract->store);
	copy = copy_take(contract, "restante.db");
	copy_put_in_place(contract, &copy);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void an_older_copy_written_over_it_is_noticed(void **state)
{
	struct contract *contract = *state;
	struct copy copy;

	store_close(&contract->store);
	copy = copy_take(contract, "restante.db");
	contract_open(contract);
	store_close(&contract->store);
	copy_write_over(contract, &copy);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void back_up_and_live_on(struct contract *contract)
{
	contract_open(contract);
	database_back_up(contract, "backup.db");
	live_a_minute(contract);
	live_a_minute(contract); /* the file is written after the answer of the first */
}

/* Neither another file, nor another start, nor a stop that would say how it was left. */
static void a_copy_of_the_same_run_is_noticed_after_a_kill(void **state)
{
	struct contract *contract = *state;
	struct copy copy;

	store_close(&contract->store);
	run_and_die(contract, back_up_and_live_on);
	copy = copy_take(contract, "backup.db");
	copy.name = "restante.db";
	unlink(path_of(contract, "restante.db-wal"));
	unlink(path_of(contract, "restante.db-shm"));
	copy_write_over(contract, &copy);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void a_whole_folder_written_over_is_noticed(void **state)
{
	struct contract *contract = *state;
	struct copy database, generation;

	store_close(&contract->store);
	database = copy_take(contract, "restante.db");
	generation = copy_take(contract, "generation");
	contract_open(contract);
	store_close(&contract->store);
	copy_write_over(contract, &database);
	copy_write_over(contract, &generation);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void a_database_in_a_fresh_folder_is_noticed(void **state)
{
	struct contract *contract = *state;

	store_close(&contract->store);
	assert_int_equal(unlink(path_of(contract, "generation")), 0);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void an_older_generation_file_is_noticed(void **state)
{
	struct contract *contract = *state;
	struct copy generation;

	store_close(&contract->store);
	generation = copy_take(contract, "generation");
	contract_open(contract);
	store_close(&contract->store);
	copy_write_over(contract, &generation);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void a_generation_file_that_makes_no_sense_is_as_none(void **state)
{
	struct contract *contract = *state;
	struct copy nonsense = {"generation", (uint8_t *)strdup("-7 x\n"), 5};

	store_close(&contract->store);
	copy_write_over(contract, &nonsense);
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

/* A new database where another one was served, or one of a program without records. */
static void a_database_without_records_beside_a_generation_file_is_noticed(void **state)
{
	struct contract *contract = *state;

	store_close(&contract->store);
	assert_int_equal(unlink(path_of(contract, "restante.db")), 0);
	assert_int_equal(restores_at_start(contract), 1);
	/* Access tokens of the first alice must not fit this one. */
	assert_true(contract_register(contract, "alice").caller.generation > 1 << 20);
}

static void what_the_operator_says_is_done_once(void **state)
{
	struct contract *contract = *state;
	struct op_restore_mark mark = {0};

	store_close(&contract->store);
	contract->config.serves = false;
	contract_open(contract);
	RUN_OK(contract, RESTORE_MARK, &mark);
	store_close(&contract->store);
	contract->config.serves = true;
	assert_int_equal(restores_at_start(contract), 1);
	assert_int_equal(restores_at_restart(contract), 0);
}

static void a_long_silence_closes_one_time_keys_alone(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = alice_with_keys(contract);
	struct op_devices_get devices = {.caller = alice.caller};

	store_close(&contract->store);
	run_and_die(contract, just_start);
	database_execute(contract, "UPDATE meta SET value = value - 3590000"
				   " WHERE name = 'alive_ms'");
	assert_int_equal(restores_at_start(contract), 0);
	assert_int_equal(stats_of(contract, &alice).one_time, KEYS);

	store_close(&contract->store);
	run_and_die(contract, just_start);
	database_execute(contract, "UPDATE meta SET value = value - 3601000"
				   " WHERE name = 'alive_ms'");
	assert_int_equal(restores_at_start(contract), 0);
	assert_int_equal(stats_of(contract, &alice).one_time, 0);
	assert_int_equal(stats_of(contract, &alice).pq, 0);
	RUN_OK(contract, DEVICES_GET, &devices);
	assert_int_equal(devices.list_version, alice.list_version);
}

/* --- what is done --------------------------------------------------------------------- */

static struct copy stop_and_copy(struct contract *contract)
{
	struct copy copy;

	store_close(&contract->store);
	copy = copy_take(contract, "restante.db");
	contract_open(contract);
	return copy;
}

static void restore(struct contract *contract, const struct copy *copy)
{
	store_close(&contract->store);
	copy_put_in_place(contract, copy);
	assert_int_equal(restores_at_start(contract), 1);
}

static void no_one_time_key_goes_out_twice(void **state)
{
	struct contract *contract = *state;
	struct key_upload joined = contract_upload(contract, "phone", KEYS, KEYS);
	struct contract_device alice = contract_register_with(contract, "alice", &joined, NULL);
	struct key_upload same = {.one_time = joined.one_time, .pq = joined.pq};
	struct key_upload more = {.one_time = contract_prekeys(contract, "more", 50, 2, false)};
	struct op_keys_put put = {.caller = alice.caller,
				  .upload = &same,
				  .scheme = joined.scheme,
				  .identity_key = joined.identity_key};
	struct device_list first, later, remembered;
	struct copy copy;

	contract_consent(contract, &alice, "bob@b.example", CONSENT_ACCEPTED);
	claim_alice(contract, "before", &first);
	copy = stop_and_copy(contract);
	claim_alice(contract, "later", &later);
	assert_true(later.devices[0].one_time.present);
	restore(contract, &copy);

	claim_alice(contract, "before", &remembered);
	assert_int_equal(remembered.devices[0].one_time.id, first.devices[0].one_time.id);
	claim_alice(contract, "after", &later);
	assert_false(later.devices[0].one_time.present);
	RUN_OK(contract, KEYS_PUT, &put);
	assert_int_equal(put.one_time + put.pq, 0);
	put.upload = &more;
	RUN_OK(contract, KEYS_PUT, &put);
	claim_alice(contract, "after more", &later);
	assert_int_equal(later.devices[0].one_time.id, 50);
}

static int64_t last_seq(struct contract *contract, const struct contract_device *from,
			const struct contract_device *to)
{
	struct op_send send = mail_send(contract, from, MAIL_TO(contract, to));

	assert_int_equal(send.op.err, ERR_OK);
	return send.effects.deliveries->item.seq;
}

/* Also when the same backup is restored again and again. */
static void numbers_of_mailboxes_and_devices_are_never_used_again(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");
	struct copy copy = stop_and_copy(contract);
	int64_t seq = 0, generation = 0;

	for (int i = 0; i < 4; i++) {
		struct copy again = copy;
		int64_t next = last_seq(contract, &ann, &bob);
		struct contract_device tablet = contract_link(contract, &bob, "tablet");

		assert_true(next > seq);
		assert_true(next < INT64_C(1) << 51);
		assert_true(tablet.caller.generation > generation);
		seq = next;
		generation = tablet.caller.generation;
		again.data = malloc(copy.len);
		memcpy(again.data, copy.data, copy.len);
		restore(contract, &again);
		contract_now = clock_now_ms();
	}
	free(copy.data);
}

/* The time is not what numbers began from: the clock was ahead before, or is behind now. */
static void numbers_rise_also_where_the_clock_was_wrong(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct contract_device bob = contract_register(contract, "bob");
	int64_t seq;

	last_seq(contract, &ann, &bob);
	store_close(&contract->store);
	database_execute(contract, "UPDATE meta SET value = 4000000000000000"
				   " WHERE name = 'mailbox_seq';"
				   "UPDATE sqlite_sequence SET seq = 4000000000000"
				   " WHERE name = 'device'");
	assert_int_equal(restores_at_start(contract), 1); /* somebody else has written */
	seq = last_seq(contract, &ann, &bob);
	assert_true(seq > 4000000000000000 + (INT64_C(1) << 36));
	assert_true(contract_link(contract, &bob, "tablet").caller.generation >
		    4000000000000 + (1 << 20));
}

static void lists_rise_above_all_that_others_may_have_seen(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct copy copy = stop_and_copy(contract);
	struct contract_device tablet = contract_link(contract, &alice, "tablet");
	struct op_devices_get get = {.caller = alice.caller};

	restore(contract, &copy);
	RUN_OK(contract, DEVICES_GET, &get);
	assert_int_equal(get.count, 1);
	assert_true(get.list_version > tablet.list_version);
	get.caller = tablet.caller;
	assert_int_equal(RUN(contract, DEVICES_GET, &get), ERR_UNAUTHORIZED);
}

static void what_waits_for_others_goes_into_new_streams(void **state)
{
	struct contract *contract = *state;
	struct contract_device ann = contract_register(contract, "ann");
	struct op_outbox_reset reset = {.domain = "b.example", .stream = "old"};
	struct destination destination;
	struct copy copy;

	for (int i = 0; i < 3; i++)
		mail_send_ok(contract, &ann, mail_to_remote(contract, REMOTE));
	RUN_OK(contract, OUTBOX_RESET, &reset);
	outbox_settle(contract, "b.example", 1, NULL, 0);
	copy = stop_and_copy(contract);
	outbox_settle(contract, "b.example", 3, NULL, 0);
	restore(contract, &copy);
	destination = destination_load(contract, "b.example");
	assert_string_equal(destination.stream, "");
	assert_int_equal(destination.base, 1);
	assert_int_equal(destination.acked, 1);
	assert_int_equal(destination.offered, 1);
	assert_int_equal(destination.last, 3);
	assert_int_equal(outbox_read(contract, "b.example", 1).count, 2);
}

static void link_tokens_of_the_backup_are_void(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = contract_register(contract, "alice");
	struct key_upload upload = contract_upload(contract, "tablet", 0, 0);
	struct op_link_token_create token = {.caller = alice.caller,
					     .expires_ms = contract_now + 10 * MINUTES_MS};
	struct op_device_link link = {.token_hash = token.token_hash,
				      .device = &upload,
				      .session = contract_session()};
	struct copy copy;

	contract_hash(token.token_hash);
	RUN_OK(contract, LINK_TOKEN_CREATE, &token);
	copy = stop_and_copy(contract);
	RUN_OK(contract, DEVICE_LINK, &link);
	restore(contract, &copy);
	contract_hash(link.session.refresh_hash);
	assert_int_equal(RUN(contract, DEVICE_LINK, &link), ERR_LINK_TOKEN_INVALID);
}

static void a_start_that_fails_leaves_the_restore_to_the_next(void **state)
{
	struct contract *contract = *state;
	struct contract_device alice = alice_with_keys(contract);
	struct copy copy = stop_and_copy(contract);
	enum err err = ERR_STORE;
	int64_t nth;

	store_close(&contract->store);
	copy_put_in_place(contract, &copy);
	fault_arm_commits(1);
	assert_int_equal(store_open(&contract->config, &contract->store), ERR_STORE);
	for (nth = 1; err == ERR_STORE; nth++) {
		fault_arm_statement(nth);
		err = store_open(&contract->config, &contract->store);
		fault_arm_statement(0);
	}
	assert_int_equal(err, ERR_OK);
	assert_true(nth > 20); /* faults did happen */
	assert_int_equal(stats_of(contract, &alice).one_time, 0);
	assert_true(contract_link(contract, &alice, "tablet").caller.generation > 1 << 20);
	assert_int_equal(restores_at_restart(contract), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, contract_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_first_start_is_no_restore),
		TEST(a_database_without_records_is_no_restore),
		TEST(restarts_are_no_restore),
		TEST(an_end_without_a_word_is_no_restore),
		TEST(a_kill_at_any_time_is_no_restore),
		TEST(a_command_on_a_stopped_node_is_no_restore),
		TEST(only_a_node_looks_for_signs),
		TEST(another_file_is_noticed_once),
		TEST(an_older_copy_written_over_it_is_noticed),
		TEST(a_copy_of_the_same_run_is_noticed_after_a_kill),
		TEST(a_whole_folder_written_over_is_noticed),
		TEST(a_database_in_a_fresh_folder_is_noticed),
		TEST(an_older_generation_file_is_noticed),
		TEST(a_generation_file_that_makes_no_sense_is_as_none),
		TEST(a_database_without_records_beside_a_generation_file_is_noticed),
		TEST(what_the_operator_says_is_done_once),
		TEST(a_long_silence_closes_one_time_keys_alone),
		TEST(no_one_time_key_goes_out_twice),
		TEST(numbers_of_mailboxes_and_devices_are_never_used_again),
		TEST(numbers_rise_also_where_the_clock_was_wrong),
		TEST(lists_rise_above_all_that_others_may_have_seen),
		TEST(what_waits_for_others_goes_into_new_streams),
		TEST(link_tokens_of_the_backup_are_void),
		TEST(a_start_that_fails_leaves_the_restore_to_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

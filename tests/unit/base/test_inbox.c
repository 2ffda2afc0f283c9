/* SPDX-License-Identifier: MIT
 *
 * Inboxes: order, capacity, waking, closing, and all of it with many threads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/inbox.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* What the callbacks saw, in order: "d1" delivered, "r1" returned. */
struct notes {
	char seen[64];
};

struct note {
	struct message message;
	struct notes *notes;
	int number;
};

static void write_down(struct note *note, char what)
{
	char mark[3] = {what, (char)('0' + note->number), '\0'};

	strcat(note->notes->seen, mark);
}

static void note_returned(struct message *message)
{
	write_down((struct note *)message, 'r');
}

static void note_delivered(struct message *message, void *receiver)
{
	struct note *note = (struct note *)message;

	assert_ptr_equal(receiver, note->notes);
	write_down(note, 'd');
}

static void make_notes(struct note *note, size_t n, struct notes *notes, struct inbox *reply_to)
{
	for (size_t i = 0; i < n; i++) {
		note[i] = (struct note){
			.message = {.reply_to = reply_to,
				    .returned = note_returned,
				    .deliver = note_delivered},
			.notes = notes,
			.number = (int)i,
		};
	}
}

static void posted_and_returned_keep_one_order(void **state)
{
	struct inbox *in = inbox_create(8, NULL, NULL);
	struct notes notes = {0};
	struct note note[4];

	(void)state;
	make_notes(note, 4, &notes, in);
	assert_true(inbox_post(in, &note[0].message));
	inbox_return(&note[1].message);
	assert_true(inbox_post(in, &note[2].message));
	inbox_return(&note[3].message);
	assert_int_equal(inbox_dispatch(in, &notes), 4);
	assert_string_equal(notes.seen, "d0r1d2r3");
	assert_int_equal(inbox_dispatch(in, &notes), 0);
	inbox_destroy(&in);
	assert_null(in);
}

static void a_full_inbox_refuses_posts_but_takes_returns(void **state)
{
	struct inbox *in = inbox_create(1, NULL, NULL);
	struct notes notes = {0};
	struct note note[4];

	(void)state;
	make_notes(note, 4, &notes, in);
	inbox_return(&note[0].message);
	assert_true(inbox_post(in, &note[1].message));
	assert_false(inbox_post(in, &note[2].message));
	inbox_return(&note[3].message);
	assert_int_equal(inbox_dispatch(in, &notes), 3);
	assert_true(inbox_post(in, &note[2].message));
	assert_int_equal(inbox_dispatch(in, &notes), 1);
	assert_string_equal(notes.seen, "r0d1r3d2");
	inbox_destroy(&in);
}

static void a_closed_inbox_refuses_posts_but_takes_returns(void **state)
{
	struct inbox *in = inbox_create(8, NULL, NULL);
	struct notes notes = {0};
	struct note note[3];

	(void)state;
	make_notes(note, 3, &notes, in);
	assert_true(inbox_post(in, &note[0].message));
	inbox_close(in);
	assert_false(inbox_post(in, &note[1].message));
	inbox_return(&note[2].message);
	assert_ptr_equal(inbox_wait(in, 1), &note[0].message);
	assert_ptr_equal(inbox_wait(in, 1), &note[2].message);
	assert_null(inbox_wait(in, 1));
	inbox_destroy(&in);
}

static void count_wake(void *context)
{
	++*(int *)context;
}

static void returns_of_several_owners_wake_each_once(void **state)
{
	int woken[2] = {0};
	struct inbox *in[2] = {inbox_create(8, count_wake, &woken[0]),
			       inbox_create(8, count_wake, &woken[1])};
	struct notes notes = {0};
	struct note note[5];

	(void)state;
	make_notes(note, 5, &notes, in[0]);
	for (size_t i = 0; i < 5; i++) {
		note[i].message.reply_to = in[i % 2];
		note[i].message.next = i < 4 ? &note[i + 1].message : NULL;
	}
	inbox_return_all(&note[0].message);
	assert_int_equal(woken[0], 1);
	assert_int_equal(woken[1], 1);
	assert_int_equal(inbox_dispatch(in[0], &notes), 3);
	assert_int_equal(inbox_dispatch(in[1], &notes), 2);
	assert_string_equal(notes.seen, "r0r2r4r1r3");
	inbox_destroy(&in[0]);
	inbox_destroy(&in[1]);
}

static void only_an_empty_inbox_wakes(void **state)
{
	int woken = 0;
	struct inbox *in = inbox_create(8, count_wake, &woken);
	struct notes notes = {0};
	struct note note[3];

	(void)state;
	make_notes(note, 3, &notes, in);
	assert_true(inbox_post(in, &note[0].message));
	inbox_return(&note[1].message);
	assert_int_equal(woken, 1);
	inbox_dispatch(in, &notes);
	inbox_return(&note[2].message);
	assert_int_equal(woken, 2);
	inbox_dispatch(in, &notes);
	inbox_destroy(&in);
}

static void post_again(struct message *message, void *receiver)
{
	assert_true(inbox_post(receiver, message));
}

static void a_returned_list_arrives_at_each_inbox_in_order(void **state)
{
	struct notes notes[2] = {0};
	struct note note[5];
	int wakes[2] = {0};
	struct inbox *inbox[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		inbox[i] = inbox_create(1, count_wake, &wakes[i]);
	make_notes(note, 5, &notes[0], inbox[0]);
	make_notes(note + 2, 2, &notes[1], inbox[1]);
	for (int i = 0; i < 4; i++)
		note[i].message.next = &note[i + 1].message;
	inbox_return_all(&note[0].message);
	assert_int_equal(inbox_dispatch(inbox[0], NULL), 3);
	assert_int_equal(inbox_dispatch(inbox[1], NULL), 2);
	assert_string_equal(notes[0].seen, "r0r1r4");
	assert_string_equal(notes[1].seen, "r0r1");
	assert_int_equal(wakes[0], 1);
	assert_int_equal(wakes[1], 1);
	for (int i = 0; i < 2; i++)
		inbox_destroy(&inbox[i]);
}

static void what_arrives_during_a_dispatch_waits_for_the_next(void **state)
{
	struct inbox *in = inbox_create(1, NULL, NULL);
	struct message message = {.deliver = post_again};

	(void)state;
	assert_true(inbox_post(in, &message));
	assert_int_equal(inbox_dispatch(in, in), 1);
	assert_int_equal(inbox_dispatch(in, in), 1);
	assert_ptr_equal(inbox_wait(in, 9), &message);
	inbox_destroy(&in);
}

static void a_batch_has_at_most_max_messages(void **state)
{
	struct inbox *in = inbox_create(3, NULL, NULL);
	struct notes notes = {0};
	struct note note[4];
	struct message *list;

	(void)state;
	make_notes(note, 4, &notes, in);
	for (size_t i = 0; i < 3; i++)
		assert_true(inbox_post(in, &note[i].message));
	list = inbox_wait(in, 2);
	assert_ptr_equal(list, &note[0].message);
	assert_ptr_equal(list->next, &note[1].message);
	assert_null(list->next->next);
	assert_true(inbox_post(in, &note[3].message));
	list = inbox_wait(in, 9);
	assert_ptr_equal(list, &note[2].message);
	assert_ptr_equal(list->next, &note[3].message);
	assert_null(list->next->next);
	inbox_destroy(&in);
}

static void returns_taken_in_batches_leave_the_capacity_alone(void **state)
{
	struct inbox *in = inbox_create(1, NULL, NULL);
	struct notes notes = {0};
	struct note note[3];

	(void)state;
	make_notes(note, 3, &notes, in);
	inbox_return(&note[0].message);
	assert_true(inbox_post(in, &note[1].message));
	assert_ptr_equal(inbox_wait(in, 1), &note[0].message);
	assert_false(inbox_post(in, &note[2].message));
	assert_ptr_equal(inbox_wait(in, 1), &note[1].message);
	assert_true(inbox_post(in, &note[2].message));
	assert_ptr_equal(inbox_wait(in, 1), &note[2].message);
	inbox_destroy(&in);
}

static void *wait_for_close(void *inbox)
{
	return inbox_wait(inbox, 1);
}

static void closing_wakes_every_waiting_thread(void **state)
{
	struct inbox *in = inbox_create(1, NULL, NULL);
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_close, in), 0);
	inbox_close(in);
	for (int i = 0; i < 3; i++) {
		void *result = in;

		pthread_join(threads[i], &result);
		assert_null(result);
	}
	inbox_destroy(&in);
}

/* Many posters with an inbox each, a few receivers that take batches and return every
 * message. Assertions stay on the main thread. */
enum { POSTERS = 6, LETTERS = 3000, BATCH = 7 };

struct poster {
	struct inbox *mail;
	struct inbox *own;
	pthread_t thread;
	int back;
	int last_back;
	bool taken_in_order;
	bool back_in_order;
};

struct letter {
	struct message message;
	struct poster *from;
	int number;
	int taken_after; /* the letter of the same poster that a receiver took before */
};

static void letter_returned(struct message *message)
{
	struct letter *letter = (struct letter *)message;
	struct poster *from = letter->from;

	if (letter->number <= letter->taken_after)
		from->taken_in_order = false;
	if (letter->number <= from->last_back)
		from->back_in_order = false;
	from->last_back = letter->number;
	from->back++;
	free(letter);
}

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < LETTERS; i++) {
		struct letter *letter = calloc(1, sizeof *letter);

		letter->message.reply_to = p->own;
		letter->message.returned = letter_returned;
		letter->from = p;
		letter->number = i;
		while (!inbox_post(p->mail, &letter->message)) {
			inbox_dispatch(p->own, NULL);
			sched_yield();
		}
	}
	while (p->back < LETTERS) {
		inbox_dispatch(p->own, NULL);
		sched_yield();
	}
	return NULL;
}

struct receiver {
	struct inbox *mail;
	struct poster *posters;
	pthread_t thread;
	int last[POSTERS];
};

static void *receiver_main(void *arg)
{
	struct receiver *r = arg;
	struct message *next;

	for (int i = 0; i < POSTERS; i++)
		r->last[i] = -1;
	while ((next = inbox_wait(r->mail, BATCH)) != NULL) {
		while (next != NULL) {
			struct letter *letter = (struct letter *)next;
			int *last = &r->last[letter->from - r->posters];

			next = next->next;
			letter->taken_after = *last;
			*last = letter->number;
			inbox_return(&letter->message);
		}
	}
	return NULL;
}

/* With one receiver the letters of a poster also come back in order. */
static void exchange(size_t n_receivers, bool back_in_order)
{
	struct inbox *mail = inbox_create(16, NULL, NULL);
	struct poster posters[POSTERS];
	struct receiver receivers[4];

	for (size_t i = 0; i < n_receivers; i++) {
		receivers[i] = (struct receiver){.mail = mail, .posters = posters};
		pthread_create(&receivers[i].thread, NULL, receiver_main, &receivers[i]);
	}
	for (size_t i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){
			.mail = mail,
			/* No room for posts: what returns needs none. */
			.own = inbox_create(0, NULL, NULL),
			.last_back = -1,
			.taken_in_order = true,
			.back_in_order = true,
		};
		pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]);
	}
	for (size_t i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	inbox_close(mail);
	for (size_t i = 0; i < n_receivers; i++)
		pthread_join(receivers[i].thread, NULL);
	for (size_t i = 0; i < POSTERS; i++) {
		assert_int_equal(posters[i].back, LETTERS);
		assert_true(posters[i].taken_in_order);
		if (back_in_order)
			assert_true(posters[i].back_in_order);
		inbox_destroy(&posters[i].own);
	}
	inbox_destroy(&mail);
}

static void one_receiver_keeps_the_order_of_each_poster(void **state)
{
	(void)state;
	exchange(1, true);
}

static void several_receivers_take_in_order_and_return_everything(void **state)
{
	(void)state;
	exchange(4, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posted_and_returned_keep_one_order),
		cmocka_unit_test(a_returned_list_arrives_at_each_inbox_in_order),
		cmocka_unit_test(a_full_inbox_refuses_posts_but_takes_returns),
		cmocka_unit_test(a_closed_inbox_refuses_posts_but_takes_returns),
		cmocka_unit_test(only_an_empty_inbox_wakes),
		cmocka_unit_test(returns_of_several_owners_wake_each_once),
		cmocka_unit_test(what_arrives_during_a_dispatch_waits_for_the_next),
		cmocka_unit_test(a_batch_has_at_most_max_messages),
		cmocka_unit_test(returns_taken_in_batches_leave_the_capacity_alone),
		cmocka_unit_test(closing_wakes_every_waiting_thread),
		cmocka_unit_test(one_receiver_keeps_the_order_of_each_poster),
		cmocka_unit_test(several_receivers_take_in_order_and_return_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

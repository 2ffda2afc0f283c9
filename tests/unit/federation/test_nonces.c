/* SPDX-License-Identifier: MIT
 *
 * Nonces are known for as long as a request with them would be accepted, and cannot be piled
 * up without end.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/clock.h"
#include "restante/crypto.h"
#include "restante/signature.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS	 4
#define MANY	 500
#define START_MS INT64_C(1767225600000)
#define KEPT_MS	 (S2S_NONCE_KEPT_S * SECONDS_MS)
#define ENOUGH	 1000000
#define NONCE	 "AAECAwQFBgcICQoLDA0ODw"

static void number(size_t i, char nonce_out[S2S_NONCE_SIZE])
{
	snprintf(nonce_out, S2S_NONCE_SIZE, "%022zu", i);
}

static void a_nonce_is_good_once_for_each_origin(void **state)
{
	struct nonces *nonces = nonces_create(ENOUGH, 10);

	(void)state;
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS), ERR_OK);
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS),
			 ERR_SIG_REPLAY);
	assert_int_equal(nonces_add(nonces, "b.example", false, NONCE, START_MS), ERR_OK);
	nonces_destroy(&nonces);
	assert_null(nonces);
	nonces_destroy(&nonces);
}

/* Wherever in a generation it was seen. */
static void a_nonce_is_kept_long_enough(void **state)
{
	(void)state;
	for (int64_t at = 0; at < KEPT_MS; at += 33 * SECONDS_MS) {
		struct nonces *nonces = nonces_create(ENOUGH, 1000);
		char filler[S2S_NONCE_SIZE];

		assert_int_equal(nonces_add(nonces, "x.example", false, NONCE, START_MS),
				 ERR_OK);
		assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS + at),
				 ERR_OK);
		for (int64_t later = 0; later <= KEPT_MS; later += 60 * SECONDS_MS) {
			number((size_t)later, filler);
			assert_int_equal(nonces_add(nonces, "a.example", false, filler,
						    START_MS + at + later),
					 ERR_OK);
			assert_int_equal(nonces_add(nonces, "a.example", false, NONCE,
						    START_MS + at + later),
					 ERR_SIG_REPLAY);
		}
		assert_int_equal(
			nonces_add(nonces, "a.example", false, NONCE, START_MS + at + KEPT_MS),
			ERR_SIG_REPLAY);
		nonces_destroy(&nonces);
	}
}

static void a_nonce_is_forgotten_in_the_end(void **state)
{
	struct nonces *nonces = nonces_create(ENOUGH, 1);

	(void)state;
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS), ERR_OK);
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS + 2 * KEPT_MS),
			 ERR_OK);
	nonces_destroy(&nonces);
}

static void an_origin_has_so_much_room_and_others_theirs(void **state)
{
	struct nonces *nonces = nonces_create(ENOUGH, 100);
	char nonce[S2S_NONCE_SIZE];

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		number(i, nonce);
		/* The second half falls into the next generation. */
		assert_int_equal(nonces_add(nonces, "a.example", false, nonce,
					    START_MS + (i < 50 ? 0 : KEPT_MS)),
				 ERR_OK);
	}
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS + KEPT_MS),
			 ERR_RATE_LIMITED);
	assert_int_equal(nonces_add(nonces, "a.example", false, nonce, START_MS + KEPT_MS),
			 ERR_SIG_REPLAY);
	assert_int_equal(nonces_add(nonces, "b.example", false, NONCE, START_MS + KEPT_MS),
			 ERR_OK);
	/* With the first generation gone there is room again. */
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS + 2 * KEPT_MS),
			 ERR_OK);
	nonces_destroy(&nonces);
}

/* Each from an origin of its own. */
static void add_some(struct nonces *nonces, const char *name, bool is_new, int count,
		     int64_t now_ms)
{
	char domain[DOMAIN_SIZE];

	for (int i = 0; i < count; i++) {
		snprintf(domain, sizeof domain, "%s%d.example", name, i);
		assert_int_equal(nonces_add(nonces, domain, is_new, NONCE, now_ms), ERR_OK);
	}
}

static void new_origins_leave_half_of_the_room_to_others(void **state)
{
	struct nonces *nonces = nonces_create(100, 10);
	int64_t now_ms = START_MS + KEPT_MS;

	(void)state;
	add_some(nonces, "new", true, 20, START_MS);
	add_some(nonces, "newer", true, 30, now_ms);
	assert_int_equal(nonces_add(nonces, "n.example", true, NONCE, now_ms),
			 ERR_RATE_LIMITED);
	add_some(nonces, "old", false, 50, now_ms);
	assert_int_equal(nonces_add(nonces, "o.example", false, NONCE, now_ms),
			 ERR_RATE_LIMITED);
	/* With the first generation gone there is room again. */
	add_some(nonces, "newest", true, 20, START_MS + 2 * KEPT_MS);
	nonces_destroy(&nonces);
}

static void a_clock_set_back_forgets_nothing(void **state)
{
	struct nonces *nonces = nonces_create(ENOUGH, 10);
	const int64_t back_ms = START_MS - HOURS_MS;

	(void)state;
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, START_MS), ERR_OK);
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, back_ms),
			 ERR_SIG_REPLAY);
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, back_ms + KEPT_MS),
			 ERR_SIG_REPLAY);
	assert_int_equal(nonces_add(nonces, "a.example", false, NONCE, back_ms + 2 * KEPT_MS),
			 ERR_OK);
	nonces_destroy(&nonces);
}

static struct nonces *shared;
static atomic_int accepted;

static void *add_many(void *arg)
{
	char nonce[S2S_NONCE_SIZE];

	(void)arg;
	for (size_t i = 0; i < MANY; i++) {
		number(i, nonce);
		if (nonces_add(shared, "a.example", false, nonce, START_MS) == ERR_OK)
			atomic_fetch_add(&accepted, 1);
	}
	crypto_thread_end();
	return NULL;
}

static void threads_see_each_nonce_once(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	shared = nonces_create(ENOUGH, 2 * MANY);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(accepted, MANY);
	nonces_destroy(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_nonce_is_good_once_for_each_origin),
		cmocka_unit_test(a_nonce_is_kept_long_enough),
		cmocka_unit_test(a_nonce_is_forgotten_in_the_end),
		cmocka_unit_test(an_origin_has_so_much_room_and_others_theirs),
		cmocka_unit_test(new_origins_leave_half_of_the_room_to_others),
		cmocka_unit_test(threads_see_each_nonce_once),
		cmocka_unit_test(a_clock_set_back_forgets_nothing),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

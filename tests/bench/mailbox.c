/* SPDX-License-Identifier: MIT
 *
 * What is left in mailboxes (mailbox.h).
 */
#include "mailbox.h"

#include "scan.h"

#define WAIT_NS UINT64_C(100000000)

static bool is_empty(struct tls *tls, struct buffer *answer, const struct account *account)
{
	struct bytes body = http_call(tls, answer, account->domain, "GET", "mailbox?limit=1",
				      account->token, bytes_of_text(""));
	struct scan items = scan_into(scan_get(body, "items"));
	struct bytes item;

	return !scan_element(&items, &item);
}

void mailboxes_wait(const struct run *run, struct devices *devices)
{
	const struct accounts *accounts = &run->accounts;
	struct tls tls =
		tls_connect(&run->tls, accounts->list[0].domain, accounts->list[0].port);
	struct buffer answer = {0};

	for (size_t i = 0; i < accounts->count; i++) {
		while (!is_empty(&tls, &answer, &accounts->list[i])) {
			devices_turn(devices, WAIT_NS);
			run_check_time(run, "mailboxes empty", i, accounts->count);
		}
	}
	buffer_free(&answer);
	tls_close(&tls);
}

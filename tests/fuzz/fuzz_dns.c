/* SPDX-License-Identifier: MIT
 *
 * Raw DNS answers to each of the questions that a node asks.
 */
#include "dns.h"
#include "restante/crypto.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_srv(struct bytes raw)
{
	struct srv_answer srv;
	enum resolve_outcome outcome = dns_read_srv(raw, "_restante._tcp.a.example", &srv);

	assert(outcome == srv.outcome);
	assert((srv.count > 0) == (outcome == RESOLVE_FOUND) && srv.count <= TARGETS_MAX);
	for (size_t i = 0; i < srv.count; i++) {
		assert(domain_is_valid(bytes_of_text(srv.records[i].target)));
		assert(srv.records[i].port != 0);
		assert(i == 0 || srv.records[i - 1].priority <= srv.records[i].priority);
	}
}

static void read_txt(struct bytes raw)
{
	struct txt_answer txt;
	enum resolve_outcome outcome = dns_read_txt(raw, "_restante.a.example", &txt);

	assert(txt.failed == (outcome == RESOLVE_TRANSIENT));
	assert(txt.present == (txt.n_keys > 0) && txt.n_keys <= SERVER_KEYS_MAX);
	for (size_t i = 0; i < txt.n_keys; i++)
		assert(kid_is_valid(bytes_of_text(txt.keys[i].kid)));
}

static void read_addresses(struct bytes raw, int type, int family)
{
	struct host_answer host = {.count = 0};
	uint8_t address[sizeof(struct in6_addr)];
	enum resolve_outcome outcome = dns_read_addresses(raw, "a.example", type, &host);

	assert((host.count > 0) == (outcome == RESOLVE_FOUND));
	assert(host.count <= TARGET_ADDRESSES_MAX);
	for (size_t i = 0; i < host.count; i++)
		assert(inet_pton(family, host.addresses[i], address) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes raw = bytes_of(data, size);

	crypto_init();
	read_srv(raw);
	read_txt(raw);
	read_addresses(raw, ns_t_a, AF_INET);
	read_addresses(raw, ns_t_aaaa, AF_INET6);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Which addresses a node connects to: global unicast ones. Names come from other people's
 * DNS and must not lead into the networks around this machine. The lists are those of RFC 6890
 * and its registries. Pure.
 */
#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct prefix {
	uint8_t bits[16];
	uint8_t len;
};

static const struct prefix special_v4[] = {
	{{0}, 8},	      /* this network */
	{{10}, 8},	      /* private */
	{{100, 64}, 10},      /* shared, of carriers */
	{{127}, 8},	      /* loopback */
	{{169, 254}, 16},     /* link-local */
	{{172, 16}, 12},      /* private */
	{{192, 0, 0}, 24},    /* protocol assignments */
	{{192, 0, 2}, 24},    /* documentation */
	{{192, 88, 99}, 24},  /* 6to4 relays */
	{{192, 168}, 16},     /* private */
	{{198, 18}, 15},      /* benchmarks */
	{{198, 51, 100}, 24}, /* documentation */
	{{203, 0, 113}, 24},  /* documentation */
	{{224}, 4},	      /* multicast */
	{{240}, 4},	      /* reserved, broadcast */
};

/* All that is given out for global use (RFC 4291 section 2.4). What lies outside of it are
 * local and special networks, overlays that use what nobody owns, and other forms of IPv4
 * addresses. */
static const struct prefix global_v6 = {{0x20}, 3};

static const struct prefix special_v6[] = {
	{{0x20, 0x01}, 23},		/* protocol assignments, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x20, 0x02}, 16},		/* 6to4 */
	{{0x3f, 0xff}, 20},		/* documentation */
};

static bool is_within(const uint8_t *address, const struct prefix *prefix)
{
	size_t whole = prefix->len / 8;
	unsigned rest = prefix->len % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(address, prefix->bits, whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ prefix->bits[whole]) & mask) == 0;
}

static bool is_special(const uint8_t *address, const struct prefix *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_within(address, &list[i]))
			return true;
	return false;
}

static bool is_global_v4(const uint8_t *address)
{
	return !is_special(address, special_v4, sizeof special_v4 / sizeof special_v4[0]);
}

static bool is_global_v6(const uint8_t *address)
{
	return is_within(address, &global_v6) &&
	       !is_special(address, special_v6, sizeof special_v6 / sizeof special_v6[0]);
}

bool address_is_allowed(const struct sockaddr *address, bool allow_private)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	/* By copies: the caller's buffer need not be aligned for them. */
	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof v4);
		return allow_private || is_global_v4((const uint8_t *)&v4.sin_addr);
	}
	if (address->sa_family == AF_INET6) {
		memcpy(&v6, address, sizeof v6);
		return allow_private || is_global_v6(v6.sin6_addr.s6_addr);
	}
	return false;
}

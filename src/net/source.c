/* SPDX-License-Identifier: MIT
 *
 * Addresses of clients, made comparable.
 */
#include "source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static void from_ipv6(const struct in6_addr *address, char out[SOURCE_MAX])
{
	struct in6_addr network = *address;
	char text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(address)) {
		inet_ntop(AF_INET, &address->s6_addr[12], out, SOURCE_MAX);
		return;
	}
	memset(&network.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &network, text, sizeof text);
	snprintf(out, SOURCE_MAX, "%s/64", text);
}

void source_of_address(const struct sockaddr *address, char out[SOURCE_MAX])
{
	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET,
			  &((const struct sockaddr_in *)(const void *)address)->sin_addr, out,
			  SOURCE_MAX);
	else if (address->sa_family == AF_INET6)
		from_ipv6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
			  out);
	else
		snprintf(out, SOURCE_MAX, "unknown");
}

bool source_is_loopback(const struct sockaddr *address)
{
	const struct in6_addr *ipv6;
	const uint8_t *ipv4;

	if (address->sa_family == AF_INET) {
		ipv4 = (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)
			       ->sin_addr;
		return ipv4[0] == 127;
	}
	if (address->sa_family != AF_INET6)
		return false;
	ipv6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(ipv6) ||
	       (IN6_IS_ADDR_V4MAPPED(ipv6) && ipv6->s6_addr[12] == 127);
}

/* Without the port or brackets that some proxies add. */
static void bare_address(struct bytes text, char out[INET6_ADDRSTRLEN])
{
	const uint8_t *colon;
	const uint8_t *bracket;

	if (text.len > 0 && text.data[0] == '[') {
		bracket = memchr(text.data, ']', text.len);
		text = bytes_of(text.data + 1,
				bracket != NULL ? (size_t)(bracket - text.data) - 1 : 0);
	} else {
		colon = memchr(text.data, ':', text.len);
		if (colon != NULL &&
		    memchr(text.data, '.', (size_t)(colon - text.data)) != NULL)
			text.len = (size_t)(colon - text.data);
	}
	if (text.len >= INET6_ADDRSTRLEN)
		text.len = 0;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
}

bool source_of_text(struct bytes text, char out[SOURCE_MAX])
{
	char bare[INET6_ADDRSTRLEN];
	struct in_addr ipv4;
	struct in6_addr ipv6;

	if (text.len == 0)
		return false;
	bare_address(text, bare);
	if (inet_pton(AF_INET, bare, &ipv4) == 1) {
		inet_ntop(AF_INET, &ipv4, out, SOURCE_MAX);
		return true;
	}
	if (inet_pton(AF_INET6, bare, &ipv6) != 1)
		return false;
	from_ipv6(&ipv6, out);
	return true;
}

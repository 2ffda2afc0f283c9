/* SPDX-License-Identifier: MIT
 *
 * Checks of what has been read: domains, addresses, origins and URLs are well-formed, and
 * options that need each other agree.
 */
#include "option.h"

#include <arpa/inet.h>

#define LONGEST_DOMAIN 253
#define LONGEST_LABEL  63

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Letters, digits and inner hyphens. */
static bool is_label(const char *label, size_t len)
{
	if (len == 0 || len > LONGEST_LABEL || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_lower_or_digit(label[i]) && label[i] != '-')
			return false;
	}
	return true;
}

/* At least two labels, and the last is not a number: 10.0.0.1 is no domain. */
static bool is_domain(const char *text)
{
	size_t labels = 0;
	const char *last = text;

	if (strlen(text) > LONGEST_DOMAIN)
		return false;
	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ".");

		if (!is_label(at, len))
			return false;
		labels++;
		last = at;
		at += len;
		if (*at == '\0')
			break;
	}
	return labels >= 2 && strspn(last, "0123456789") < strlen(last);
}

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	unsigned port = 0;

	if (digits == 0 || digits > 5 || text[digits] != '\0')
		return false;
	for (size_t i = 0; i < digits; i++)
		port = port * 10 + (unsigned)(text[i] - '0');
	return port >= 1 && port <= 65535;
}

static bool is_ip(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, address) == 1 ||
	       inet_pton(AF_INET6, text, address) == 1;
}

/* Splits HOST, HOST:PORT or [V6]:PORT; port_out is NULL without one. Text with more than
 * one colon and no brackets is one IPv6 address. */
static const char *split_port(struct arena *arena, const char *text, const char **port_out)
{
	const char *colon = strrchr(text, ':');

	*port_out = NULL;
	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (close == NULL || (close[1] != '\0' && close[1] != ':'))
			return text;
		*port_out = close[1] == ':' ? close + 2 : NULL;
		return arena_text(arena, bytes_of(text + 1, (size_t)(close - text - 1)));
	}
	if (colon == NULL || colon != strchr(text, ':'))
		return text;
	*port_out = colon + 1;
	return arena_text(arena, bytes_of(text, (size_t)(colon - text)));
}

static bool is_name_server(struct arena *arena, const char *text)
{
	const char *port;
	const char *host = split_port(arena, text, &port);

	return is_ip(host) && (port == NULL || is_port(port));
}

/* The authority of a URL: a domain, localhost or an IP address, and perhaps a port. */
static bool is_authority(struct arena *arena, const char *text, bool port_needed)
{
	const char *port;
	const char *host = split_port(arena, text, &port);

	if (port == NULL ? port_needed : !is_port(port))
		return false;
	return is_domain(host) || is_ip(host) || strcmp(host, "localhost") == 0;
}

/* scheme://authority and nothing after it, so that appending a path makes a URL. */
static bool is_origin(struct arena *arena, const char *text, bool http_too)
{
	if (strncmp(text, "https://", 8) == 0)
		return is_authority(arena, text + 8, false);
	return http_too && strncmp(text, "http://", 7) == 0 &&
	       is_authority(arena, text + 7, false);
}

static void check(struct reader *reader, enum option_id id, bool good, const char *value,
		  const char *wanted)
{
	if (!good)
		reader_problem(reader, reader->where[id], "%s.%s: \"%s\" is not %s",
			       options[id].section, options[id].name, value, wanted);
}

static void check_domain(struct reader *reader)
{
	const char *domain = reader->config->node_domain;

	if (domain[0] != '\0')
		check(reader, OPTION_node_domain, is_domain(domain), domain,
		      "a domain in lower case (ASCII form), such as example.org");
	else
		reader_problem(reader, reader->config->path, "node.domain is missing");
}

static void check_listen(struct reader *reader)
{
	const struct config *c = reader->config;
	bool certificate = c->listen_certificate[0] != '\0';
	bool key = c->listen_key[0] != '\0';

	if (c->listen_host[0] != '\0')
		check(reader, OPTION_listen_host, is_ip(c->listen_host), c->listen_host,
		      "an IP address");
	if (certificate && !key)
		reader_problem(reader, reader->where[OPTION_listen_certificate],
			       "listen.certificate needs listen.key");
	if (key && !certificate)
		reader_problem(reader, reader->where[OPTION_listen_key],
			       "listen.key needs listen.certificate");
	for (size_t i = 0; i < c->listen_cors_origins.count; i++) {
		const char *origin = c->listen_cors_origins.items[i];

		check(reader, OPTION_listen_cors_origins,
		      strcmp(origin, "*") == 0 || is_origin(c->arena, origin, true), origin,
		      "* or an origin such as https://chat.example.org");
	}
}

static void check_domains(struct reader *reader, enum option_id id,
			  const struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *domain = list->items[i];

		check(reader, id, is_domain(domain[0] == '.' ? domain + 1 : domain), domain,
		      "a domain such as example.org or .example.org");
	}
}

static void check_urls(struct reader *reader)
{
	const struct config *c = reader->config;
	const char *contact = c->node_abuse_contact;

	if (contact[0] != '\0')
		check(reader, OPTION_node_abuse_contact,
		      strncmp(contact, "mailto:", 7) == 0 ||
			      strncmp(contact, "https://", 8) == 0,
		      contact, "a URL that begins with mailto: or https://");
	if (c->federation_url[0] != '\0')
		check(reader, OPTION_federation_url,
		      is_origin(c->arena, c->federation_url, false), c->federation_url,
		      "https://HOST or https://HOST:PORT without a path");
	if (c->federation_api_url[0] != '\0')
		check(reader, OPTION_federation_api_url,
		      is_origin(c->arena, c->federation_api_url, true), c->federation_api_url,
		      "https://HOST or https://HOST:PORT without a path");
}

static void check_federation(struct reader *reader)
{
	const struct config *c = reader->config;

	check_domains(reader, OPTION_federation_allow, &c->federation_allow);
	check_domains(reader, OPTION_federation_deny, &c->federation_deny);
	for (size_t i = 0; i < c->federation_hosts.count; i++) {
		const struct config_pair *host = &c->federation_hosts.items[i];

		check(reader, OPTION_federation_hosts, is_domain(host->name), host->name,
		      "a domain such as example.org");
		check(reader, OPTION_federation_hosts,
		      is_authority(c->arena, host->value, true), host->value, "HOST:PORT");
	}
	for (size_t i = 0; i < c->federation_dns_servers.count; i++) {
		const char *server = c->federation_dns_servers.items[i];

		check(reader, OPTION_federation_dns_servers, is_name_server(c->arena, server),
		      server, "ADDRESS or ADDRESS:PORT");
	}
}

static void check_order(struct reader *reader, enum option_id less, enum option_id more)
{
	const char *base = (const char *)reader->config;
	int64_t small = *(const int64_t *)(base + options[less].offset);
	int64_t large = *(const int64_t *)(base + options[more].offset);
	const char *where = reader->where[less];

	if (small <= large)
		return;
	if (where == NULL)
		where = reader->where[more];
	reader_problem(reader, where, "%s.%s is more than %s.%s", options[less].section,
		       options[less].name, options[more].section, options[more].name);
}

void config_check(struct reader *reader)
{
	check_domain(reader);
	check_listen(reader);
	check_urls(reader);
	check_federation(reader);
	check_order(reader, OPTION_limits_content, OPTION_limits_body);
	check_order(reader, OPTION_limits_content, OPTION_limits_mailbox_bytes);
	check_order(reader, OPTION_federation_backoff_first, OPTION_federation_backoff_max);
}

/* SPDX-License-Identifier: MIT
 *
 * A network for tests of this folder: DNS packets, a name server that answers from a table
 * between the turns of the loop, and a web server (web_server.py) as a child process.
 */
#ifndef TEST_FAKE_NET_H
#define TEST_FAKE_NET_H

#include "dns.h"
#include "restante/log.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Packets */

struct packet {
	uint8_t data[8192];
	size_t len;
};

static inline void put(struct packet *p, const void *bytes, size_t n)
{
	if (p->len + n > sizeof p->data)
		fatal("packet is full");
	memcpy(p->data + p->len, bytes, n);
	p->len += n;
}

static inline void put16(struct packet *p, unsigned value)
{
	put(p, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

/* "" is the root. */
static inline void put_name(struct packet *p, const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");

		put(p, (uint8_t[]){(uint8_t)n}, 1);
		put(p, name, n);
		name += n + (name[n] == '.');
	}
	put(p, "", 1);
}

/* An answer without records yet. flags: 0x20 is AD. */
static inline struct packet answer_to(const char *name, int type, unsigned rcode,
				      unsigned flags)
{
	struct packet p = {.len = 0};

	put16(&p, 0x1234);
	put(&p, (uint8_t[]){0x81, (uint8_t)(0x80 | flags | rcode)}, 2);
	put(&p, (uint8_t[]){0, 1, 0, 0, 0, 0, 0, 0}, 8);
	put_name(&p, name);
	put16(&p, (unsigned)type);
	put16(&p, ns_c_in);
	return p;
}

static inline void put_record(struct packet *p, const char *owner, int type, unsigned ttl,
			      const void *data, size_t len)
{
	put_name(p, owner);
	put16(p, (unsigned)type);
	put16(p, ns_c_in);
	put16(p, ttl >> 16);
	put16(p, ttl);
	put16(p, (unsigned)len);
	put(p, data, len);
	p->data[7]++;
}

static inline void put_srv(struct packet *p, const char *owner, unsigned ttl, unsigned priority,
			   unsigned weight, unsigned port, const char *target)
{
	struct packet data = {.len = 0};

	put16(&data, priority);
	put16(&data, weight);
	put16(&data, port);
	put_name(&data, target);
	put_record(p, owner, ns_t_srv, ttl, data.data, data.len);
}

static inline void put_txt(struct packet *p, const char *owner, const char *text)
{
	struct packet data = {.len = 0};

	for (size_t left = strlen(text); left > 0;) {
		size_t n = left < 50 ? left : 50; /* in several strings */

		put(&data, (uint8_t[]){(uint8_t)n}, 1);
		put(&data, text, n);
		text += n;
		left -= n;
	}
	put_record(p, owner, ns_t_txt, 300, data.data, data.len);
}

static inline void put_address(struct packet *p, const char *owner, const char *address)
{
	uint8_t data[16];

	if (inet_pton(AF_INET, address, data) == 1)
		put_record(p, owner, ns_t_a, 300, data, 4);
	else if (inet_pton(AF_INET6, address, data) == 1)
		put_record(p, owner, ns_t_aaaa, 300, data, 16);
	else
		fatal("%s is no address", address);
}

static inline void put_cname(struct packet *p, const char *owner, const char *target)
{
	struct packet data = {.len = 0};

	put_name(&data, target);
	put_record(p, owner, ns_t_cname, 300, data.data, data.len);
}

static inline struct bytes packet_bytes(const struct packet *p)
{
	return bytes_of(p->data, p->len);
}

/* The name server. What it has no entry for does not exist. */

enum fake_way { FAKE_ANSWER, FAKE_SILENCE, FAKE_TCP_ONLY };

struct fake_entry {
	char name[DOMAIN_SIZE];
	int type;
	enum fake_way way;
	struct packet packet;
};

struct fake_dns {
	int udp, tcp, client;
	char address[32]; /* for federation.dns_servers */
	struct fake_entry entries[16];
	size_t count;
	unsigned asked;
	bool ad_wanted; /* the last question had the AD bit */
};

static inline int fake_socket(int type, struct sockaddr_in *address)
{
	socklen_t len = sizeof *address;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fatal("no socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)address, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)address, &len) == 0)
		return fd;
	close(fd);
	return -1;
}

static inline void fake_dns_start(struct fake_dns *dns)
{
	struct sockaddr_in address;

	memset(dns, 0, sizeof *dns);
	dns->client = -1;
	/* The same port for both, so more than one may have to be tried. */
	for (dns->udp = -1; dns->udp < 0;) {
		address = (struct sockaddr_in){.sin_family = AF_INET,
					       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		dns->tcp = fake_socket(SOCK_STREAM, &address);
		dns->udp = fake_socket(SOCK_DGRAM, &address);
		if (dns->udp < 0)
			close(dns->tcp);
	}
	if (listen(dns->tcp, 4) != 0)
		fatal("cannot listen");
	snprintf(dns->address, sizeof dns->address, "127.0.0.1:%u", ntohs(address.sin_port));
}

static inline void fake_dns_stop(struct fake_dns *dns)
{
	close(dns->udp);
	close(dns->tcp);
	if (dns->client >= 0)
		close(dns->client);
}

static inline struct packet *fake_dns_add(struct fake_dns *dns, const char *name, int type,
					  unsigned rcode, unsigned flags)
{
	struct fake_entry *entry = &dns->entries[dns->count++];

	if (dns->count > sizeof dns->entries / sizeof dns->entries[0])
		fatal("too many entries");
	snprintf(entry->name, sizeof entry->name, "%s", name);
	entry->type = type;
	entry->way = FAKE_ANSWER;
	entry->packet = answer_to(name, type, rcode, flags);
	return &entry->packet;
}

static inline struct packet fake_dns_answer(struct fake_dns *dns, const uint8_t *query,
					    bool tcp, enum fake_way *way_out)
{
	char name[DOMAIN_SIZE] = "";
	const uint8_t *at = query + 12;
	struct packet p;
	int type;

	for (; *at != 0; at += 1 + *at)
		snprintf(name + strlen(name), sizeof name - strlen(name), "%s%.*s",
			 name[0] == '\0' ? "" : ".", *at, (const char *)at + 1);
	type = at[1] << 8 | at[2];
	dns->asked++;
	dns->ad_wanted = (query[3] & 0x20) != 0;
	p = answer_to(name, type, ns_r_nxdomain, 0);
	*way_out = FAKE_ANSWER;
	for (size_t i = 0; i < dns->count; i++) {
		if (strcasecmp(dns->entries[i].name, name) != 0 || dns->entries[i].type != type)
			continue;
		p = dns->entries[i].packet;
		*way_out = dns->entries[i].way;
		if (*way_out == FAKE_TCP_ONLY && !tcp) {
			p = answer_to(name, type, ns_r_noerror, 0);
			p.data[2] |= 0x02; /* truncated */
		}
	}
	memcpy(p.data, query, 2);
	return p;
}

static inline void fake_dns_serve_tcp(struct fake_dns *dns)
{
	struct packet p, framed = {.len = 0};
	uint8_t query[1024];
	enum fake_way way;

	if (dns->client < 0)
		dns->client = accept(dns->tcp, NULL, NULL);
	if (dns->client < 0 || recv(dns->client, query, sizeof query, MSG_DONTWAIT) < 14)
		return;
	p = fake_dns_answer(dns, query + 2, true, &way);
	put16(&framed, (unsigned)p.len);
	put(&framed, p.data, p.len);
	if (send(dns->client, framed.data, framed.len, MSG_NOSIGNAL) < 0)
		fatal("cannot answer");
	close(dns->client);
	dns->client = -1;
}

static inline void fake_dns_serve(struct fake_dns *dns)
{
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	uint8_t query[1024];
	enum fake_way way;
	ssize_t n;

	while ((n = recvfrom(dns->udp, query, sizeof query, 0, (struct sockaddr *)&from,
			     &from_len)) > 12) {
		struct packet p = fake_dns_answer(dns, query, false, &way);

		if (way != FAKE_SILENCE &&
		    sendto(dns->udp, p.data, p.len, 0, (struct sockaddr *)&from, from_len) < 0)
			fatal("cannot answer");
	}
	fake_dns_serve_tcp(dns);
}

/* The web server */

#define WELL_KNOWN_ADDRESS "127.77.0.1"

struct web_server {
	pid_t pid;
	int in;		    /* closed: it ends */
	int port;	    /* of 127.0.0.1 */
	int has_well_known; /* listens at WELL_KNOWN_ADDRESS, port 443, too */
	char ca_file[512];
};

/* In this folder, which also holds what it serves. False where it cannot run here. */
/* well_known: also at the one address that only one of them can have. */
static inline bool web_server_start(struct web_server *web, const char *script,
				    const char *folder, bool well_known)
{
	int in[2], out[2];
	FILE *answer;

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		fatal("no pipe");
	web->pid = fork();
	if (web->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("python3", "python3", script, folder, well_known ? "well-known" : NULL,
		       (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	web->in = in[1];
	answer = fdopen(out[0], "r");
	snprintf(web->ca_file, sizeof web->ca_file, "%s/certificate.pem", folder);
	if (answer == NULL || fscanf(answer, "%d %d", &web->port, &web->has_well_known) != 2)
		web->port = 0;
	fclose(answer);
	return web->port != 0;
}

static inline void web_server_stop(struct web_server *web)
{
	close(web->in);
	kill(web->pid, SIGTERM);
	waitpid(web->pid, NULL, 0);
}

#endif

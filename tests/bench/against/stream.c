/* SPDX-License-Identifier: MIT
 *
 * Streams with XMPP servers: how they begin, and their stanzas (xmpp.h).
 */
#include "xmpp.h"

#include "stanza.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <stdio.h>

/* Waits for the next element that is not the opening of a stream; it is dropped. */
static void expect(struct tls *tls, struct buffer *in, const char *name)
{
	struct bytes stanza;
	size_t len;
	bool is_there = false;

	while (!is_there) {
		while ((len = stanza_read(buffer_bytes(in), &stanza)) == 0)
			tls_read_some(tls, in);
		is_there = !stanza_is(stanza, "stream:stream");
		if (is_there &&
		    (!stanza_is(stanza, name) ||
		     bytes_equal(stanza_attribute(stanza, "type"), bytes_of_text("error"))))
			fatal("instead of %s: %.*s", name, (int)stanza.len,
			      (const char *)stanza.data);
		buffer_drop(in, len);
	}
}

static void write_all(struct tls *tls, struct buffer *out)
{
	tls_write_all(tls, buffer_bytes(out));
	buffer_drop(out, buffer_bytes(out).len);
}

static void begin(struct tls *tls, struct buffer *in, struct buffer *out, const char *domain)
{
	buffer_printf(out,
		      "<?xml version='1.0'?><stream:stream to='%s' xmlns='jabber:client' "
		      "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
		      domain);
	write_all(tls, out);
	expect(tls, in, "stream:features");
}

static void authenticate(struct device *device)
{
	char plain[2048];
	char text[4096];
	int len = snprintf(plain, sizeof plain, "%c%s%c%s", 0, device->account->user, 0,
			   device->account->token);

	base64_encode_to(bytes_of(plain, (size_t)len), text);
	buffer_printf(&device->out,
		      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s"
		      "</auth>",
		      text);
	write_all(&device->tls, &device->out);
	expect(&device->tls, &device->in, "success");
}

static void stream_open(struct device *device)
{
	const char *domain = device->account->domain;

	begin(&device->tls, &device->in, &device->out, domain);
	authenticate(device);
	begin(&device->tls, &device->in, &device->out, domain);
	buffer_printf(&device->out,
		      "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
		      "<resource>bench</resource></bind></iq>");
	write_all(&device->tls, &device->out);
	expect(&device->tls, &device->in, "iq");
	buffer_printf(&device->out, "<presence/>");
	write_all(&device->tls, &device->out);
}

static void stream_read(struct devices *devices, struct device *device)
{
	struct bytes stanza;
	size_t len;

	while ((len = stanza_read(buffer_bytes(&device->in), &stanza)) > 0) {
		if (stanza_is(stanza, "stream:error") ||
		    (stanza_is(stanza, "message") &&
		     bytes_equal(stanza_attribute(stanza, "type"), bytes_of_text("error"))))
			fatal("%s: %.*s", device->account->user, (int)stanza.len,
			      (const char *)stanza.data);
		devices->received(devices, device, stanza);
		buffer_drop(&device->in, len);
	}
}

const struct protocol xmpp_stream = {.open = stream_open, .read = stream_read};

static void register_one(struct tls *tls, const struct account *account)
{
	struct buffer in = {0};
	struct buffer out = {0};

	begin(tls, &in, &out, account->domain);
	buffer_printf(&out,
		      "<iq type='set' id='register'><query xmlns='jabber:iq:register'>"
		      "<username>%s</username><password>%s</password></query></iq>",
		      account->user, account->token);
	write_all(tls, &out);
	expect(tls, &in, "iq");
	buffer_free(&in);
	buffer_free(&out);
}

void xmpp_register(const struct tls_context *context, const char *domain, uint16_t port,
		   const char *name, size_t count)
{
	struct account account = {
		.port = port,
		.device_id = 1,
		.registration_id = 1,
		.token = "secret",
	};

	snprintf(account.domain, sizeof account.domain, "%s", domain);
	for (size_t i = 0; i < count; i++) {
		struct tls tls = tls_connect(context, domain, port);

		snprintf(account.user, sizeof account.user, "%s%zu", name, i);
		register_one(&tls, &account);
		account_print(&account);
		tls_close(&tls);
	}
}

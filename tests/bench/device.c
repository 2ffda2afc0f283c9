/* SPDX-License-Identifier: MIT
 *
 * Many devices with their connections (device.h): frames as in RFC 6455, section 5.
 */
#include "device.h"

#include "restante/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS	     256
#define READ_SIZE    65536
#define MASK_SIZE    4
#define OPCODE_TEXT  1
#define OPCODE_CLOSE 8
#define OPCODE_PING  9
#define OPCODE_PONG  10

struct frame {
	unsigned opcode;
	struct bytes payload;
	size_t len; /* with its head */
};

static void upgrade(struct device *device)
{
	const struct account *account = device->account;
	size_t head;

	buffer_printf(&device->out,
		      "GET /api/v1/ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
		      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		      "Authorization: Bearer %s\r\n\r\n",
		      account->domain, account->token);
	tls_write_all(&device->tls, buffer_bytes(&device->out));
	buffer_drop(&device->out, buffer_bytes(&device->out).len);
	head = tls_read_head(&device->tls, &device->in);
	if (memcmp(device->in.data, "HTTP/1.1 101", 12) != 0)
		fatal("%s@%s: %.*s", account->user, account->domain, (int)head,
		      (const char *)device->in.data);
	buffer_drop(&device->in, head);
}

static void watch(struct devices *devices, struct device *device, int operation)
{
	struct epoll_event event = {
		.events = device->waits_to_write ? EPOLLIN | EPOLLOUT : EPOLLIN,
		.data.ptr = device,
	};

	if (epoll_ctl(devices->epoll, operation, device->tls.fd, &event) != 0)
		fatal("epoll: %s", strerror(errno));
}

void device_flush(struct devices *devices, struct device *device)
{
	struct bytes left = buffer_bytes(&device->out);
	bool waits = false;

	while (left.len > 0 && !waits) {
		size_t n = tls_write(&device->tls, left);

		buffer_drop(&device->out, n);
		waits = n == 0;
		left = buffer_bytes(&device->out);
	}
	if (waits != device->waits_to_write) {
		device->waits_to_write = waits;
		watch(devices, device, EPOLL_CTL_MOD);
	}
}

/* The mask is there for proxies that are confused by what scripts send; any will do. */
static void frame_write(struct buffer *out, unsigned opcode, struct bytes payload)
{
	static const uint8_t mask[MASK_SIZE] = {0x52, 0x65, 0x73, 0x74};
	uint8_t head[14] = {(uint8_t)(0x80 | opcode)};
	size_t head_len = payload.len < 126 ? 2 : payload.len < 65536 ? 4 : 10;
	uint8_t *room;

	head[1] = (uint8_t)(0x80 | (head_len == 2 ? payload.len : head_len == 4 ? 126 : 127));
	for (size_t i = 2; i < head_len; i++)
		head[i] = (uint8_t)(payload.len >> 8 * (head_len - 1 - i));
	memcpy(head + head_len, mask, MASK_SIZE);
	buffer_add(out, bytes_of(head, head_len + MASK_SIZE));
	room = buffer_room(out, payload.len);
	for (size_t i = 0; i < payload.len; i++)
		room[i] = payload.data[i] ^ mask[i % MASK_SIZE];
	buffer_grow(out, payload.len);
}

/* False if it has not come as a whole. */
static bool frame_read(struct bytes in, struct frame *frame_out)
{
	size_t head = 2;
	size_t len;

	if (in.len < 2)
		return false;
	if ((in.data[0] & 0xf0) != 0x80 || (in.data[1] & 0x80) != 0)
		fatal("a node's frame is in pieces or masked");
	len = in.data[1];
	if (len >= 126) {
		head = len == 126 ? 4 : 10;
		if (in.len < head)
			return false;
		len = 0;
		for (size_t i = 2; i < head; i++)
			len = len << 8 | in.data[i];
	}
	if (in.len - head < len)
		return false;
	*frame_out = (struct frame){
		.opcode = in.data[0] & 0x0f,
		.payload = bytes_of(in.data + head, len),
		.len = head + len,
	};
	return true;
}

static void device_read_frames(struct devices *devices, struct device *device)
{
	struct frame frame;

	while (frame_read(buffer_bytes(&device->in), &frame)) {
		if (frame.opcode == OPCODE_TEXT)
			devices->received(devices, device, frame.payload);
		else if (frame.opcode == OPCODE_PING)
			frame_write(&device->out, OPCODE_PONG, frame.payload);
		else if (frame.opcode == OPCODE_CLOSE && frame.payload.len >= 2)
			fatal("%s: closed with %u", device->account->user,
			      frame.payload.data[0] * 256u + frame.payload.data[1]);
		else
			fatal("%s: a frame with opcode %u", device->account->user,
			      frame.opcode);
		buffer_drop(&device->in, frame.len);
	}
}

static void device_read_answers(struct devices *devices, struct device *device)
{
	struct bytes body;
	size_t len;

	while (http_read(buffer_bytes(&device->in), device->account->user, &body, &len)) {
		devices->received(devices, device, body);
		buffer_drop(&device->in, len);
	}
}

const struct protocol websocket = {.open = upgrade, .read = device_read_frames};
const struct protocol http_calls = {.read = device_read_answers};

static void device_read(struct devices *devices, struct device *device)
{
	size_t n;

	while ((n = tls_read(&device->tls, buffer_room(&device->in, READ_SIZE), READ_SIZE)) >
	       0) {
		buffer_grow(&device->in, n);
		devices->protocol->read(devices, device);
	}
}

void devices_turn(struct devices *devices, uint64_t wait_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec wait = {
		.tv_sec = (time_t)(wait_ns / 1000000000),
		.tv_nsec = (long)(wait_ns % 1000000000),
	};
	int n = epoll_pwait2(devices->epoll, events, EVENTS, &wait, NULL);

	if (n < 0 && errno != EINTR)
		fatal("epoll: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct device *device = events[i].data.ptr;

		device_read(devices, device);
		device_flush(devices, device);
	}
}

void device_send(struct devices *devices, struct device *device)
{
	frame_write(&device->out, OPCODE_TEXT, buffer_bytes(&device->text));
	buffer_drop(&device->text, buffer_bytes(&device->text).len);
	device_flush(devices, device);
}

void device_call(struct devices *devices, struct device *device, const char *method,
		 const char *path)
{
	http_write(&device->out, device->account->domain, method, path, device->account->token,
		   buffer_bytes(&device->text));
	buffer_drop(&device->text, buffer_bytes(&device->text).len);
	device_flush(devices, device);
}

void devices_open(struct devices *devices, const struct tls_context *tls,
		  const struct accounts *accounts)
{
	devices->epoll = epoll_create1(EPOLL_CLOEXEC);
	devices->list = calloc(accounts->count, sizeof *devices->list);
	devices->count = accounts->count;
	if (devices->epoll < 0 || devices->list == NULL)
		fatal("epoll: %s", strerror(errno));
	for (size_t i = 0; i < accounts->count; i++) {
		struct device *device = &devices->list[i];

		device->account = &accounts->list[i];
		device->index = i;
		device->tls = tls_connect(tls, device->account->domain, device->account->port);
		if (devices->protocol->open != NULL)
			devices->protocol->open(device);
		if (fcntl(device->tls.fd, F_SETFL, O_NONBLOCK) != 0)
			fatal("fcntl: %s", strerror(errno));
		watch(devices, device, EPOLL_CTL_ADD);
	}
	/* What came while it was opened would not wake anybody. */
	for (size_t i = 0; i < devices->count; i++) {
		devices->protocol->read(devices, &devices->list[i]);
		device_read(devices, &devices->list[i]);
		device_flush(devices, &devices->list[i]);
	}
}

void devices_close(struct devices *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		struct device *device = &devices->list[i];

		tls_close(&device->tls);
		buffer_free(&device->in);
		buffer_free(&device->out);
		buffer_free(&device->text);
	}
	free(devices->list);
	close(devices->epoll);
	*devices = (struct devices){.epoll = -1};
}

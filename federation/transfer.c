/* SPDX-License-Identifier: MIT
 *
 * One HTTPS request with curl, to addresses that were resolved before: CONNECT_TO gives the
 * address, the URL gives the name that the certificate has to be for. A target that fails
 * before anything of the request was sent is followed by the next one. What comes back is
 * capped while it is read.
 */
#include "loop.h"

#include "restante/clock.h"
#include "restante/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX	  (32 * 1024)
#define LOW_SPEED_BYTES	  1024
#define LOW_SPEED_SECONDS 15

enum covered {
	CONTENT_TYPE,
	CONTENT_DIGEST,
	SIGNATURE,
	SIGNATURE_INPUT,
	RETRY_AFTER,
	N_COVERED
};

static const char *const covered_names[N_COVERED] = {
	[CONTENT_TYPE] = "content-type", [CONTENT_DIGEST] = "content-digest",
	[SIGNATURE] = "signature",	 [SIGNATURE_INPUT] = "signature-input",
	[RETRY_AFTER] = "retry-after",
};

struct transfer {
	struct loop_task task;
	struct loop *loop;
	CURL *easy;
	bool running; /* the easy handle is in the multi handle */
	struct arena *arena;
	struct curl_slist *headers, *connect_to;
	struct targets targets;
	size_t next_target;
	size_t answer_max;
	int connect_timeout_ms;
	int64_t deadline_ms; /* monotonic */
	void (*done)(void *context, const struct transfer_answer *answer);
	void *context;

	bool in_head;
	size_t head_bytes;
	struct bytes found[N_COVERED];
	struct text body;
	const char *invalid; /* why what came is no answer */
	const char *refused; /* why no connection was made */
	struct transfer_answer answer;
	char curl_error[CURL_ERROR_SIZE];
};

static void drop_body(struct transfer *transfer)
{
	*loop_answer_bytes(transfer->loop) -= transfer->body.len;
	transfer->body.len = 0;
}

static void free_transfer(struct transfer *transfer)
{
	drop_body(transfer);
	if (transfer->running)
		curl_multi_remove_handle(loop_curl(transfer->loop), transfer->easy);
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	curl_slist_free_all(transfer->connect_to);
	arena_destroy(&transfer->arena);
	free(transfer);
}

static void tell(struct loop_task *task)
{
	struct transfer *transfer = (struct transfer *)task;

	if (!loop_is_closing(transfer->loop))
		transfer->done(transfer->context, &transfer->answer);
	free_transfer(transfer);
}

static void finish(struct transfer *transfer, enum err err, const char *error)
{
	transfer->answer.err = err;
	transfer->answer.error = error;
	loop_defer(transfer->loop, &transfer->task);
}

/* Callbacks of curl */

static curl_socket_t open_socket(void *context, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	struct transfer *transfer = context;

	(void)purpose;
	if (!address_is_allowed(&address->addr,
				loop_config(transfer->loop)->federation_allow_private)) {
		transfer->refused = "address is private or special";
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_body(char *data, size_t size, size_t n, void *context)
{
	struct transfer *transfer = context;
	size_t *all = loop_answer_bytes(transfer->loop);
	size_t len = size * n;

	if (len > transfer->answer_max - transfer->body.len)
		transfer->invalid = "answer is too large";
	else if (transfer->body.len + len > ANSWER_BYTES_SMALL &&
		 *all + len > ANSWERS_BYTES_MAX)
		transfer->invalid = "no room for a large answer";
	if (transfer->invalid != NULL)
		return 0;
	*all += len;
	text_add(&transfer->body, bytes_of(data, len));
	return len;
}

static struct bytes trim(struct bytes text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = bytes_of(text.data + 1, text.len - 1);
	while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
		text.len--;
	return text;
}

/* False: a header that may be there once is there again. */
static bool take_header(struct transfer *transfer, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon == NULL ? 0 : (size_t)(colon - line);

	for (size_t i = 0; i < N_COVERED && colon != NULL; i++) {
		if (strlen(covered_names[i]) != name_len ||
		    strncasecmp(line, covered_names[i], name_len) != 0)
			continue;
		if (transfer->found[i].data != NULL)
			return i == RETRY_AFTER;
		transfer->found[i] = arena_bytes(transfer->arena,
						 trim(bytes_of(colon + 1, len - name_len - 1)));
		return true;
	}
	return true;
}

/* Also called for the lines of informational answers, and for trailers, which are nothing
 * that anybody has signed. */
static size_t take_head_line(char *line, size_t size, size_t n, void *context)
{
	struct transfer *transfer = context;
	size_t len = size * n;

	transfer->head_bytes += len;
	if (transfer->head_bytes > HEAD_MAX) {
		transfer->invalid = "head is too large";
		return 0;
	}
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		transfer->in_head = true;
		memset(transfer->found, 0, sizeof transfer->found);
	} else if (len <= 2 && trim(bytes_of(line, len)).len == 0) {
		transfer->in_head = false;
	} else if (transfer->in_head && !take_header(transfer, line, len)) {
		transfer->invalid = "a signed header is repeated";
		return 0;
	}
	return len;
}

/* Tries */

/* With other targets left this one gets half of the time at most. */
static long connect_timeout_ms(const struct transfer *transfer, int64_t left_ms)
{
	int64_t timeout_ms =
		transfer->next_target < transfer->targets.count ? left_ms / 2 : left_ms;

	return timeout_ms < transfer->connect_timeout_ms ? (long)timeout_ms
							 : transfer->connect_timeout_ms;
}

static void try_next(struct transfer *transfer)
{
	const struct target *target = &transfer->targets.items[transfer->next_target];
	int64_t left_ms = transfer->deadline_ms - clock_monotonic_ms();
	char where[96];

	if (left_ms <= 0) {
		finish(transfer, ERR_PEER_UNREACHABLE, "no target could be reached in time");
		return;
	}
	transfer->next_target++;
	snprintf(where, sizeof where,
		 strchr(target->address, ':') != NULL ? "::[%s]:%u" : "::%s:%u",
		 target->address, (unsigned)target->port);
	curl_slist_free_all(transfer->connect_to);
	transfer->connect_to = curl_slist_append(NULL, where);
	transfer->head_bytes = 0;
	drop_body(transfer);
	transfer->invalid = transfer->refused = NULL;
	transfer->curl_error[0] = '\0';
	curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_TO, transfer->connect_to);
	curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS,
			 connect_timeout_ms(transfer, left_ms));
	if (curl_multi_add_handle(loop_curl(transfer->loop), transfer->easy) == CURLM_OK)
		transfer->running = true;
	else
		finish(transfer, ERR_BUSY, "cannot start a transfer");
}

static void take_answer(struct transfer *transfer)
{
	struct transfer_answer *answer = &transfer->answer;
	long status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = (int)status;
	answer->target = transfer->next_target - 1;
	answer->body = text_bytes(&transfer->body);
	answer->content_type = transfer->found[CONTENT_TYPE];
	answer->content_digest = transfer->found[CONTENT_DIGEST];
	answer->signature = transfer->found[SIGNATURE];
	answer->signature_input = transfer->found[SIGNATURE_INPUT];
	answer->retry_after = transfer->found[RETRY_AFTER];
	if (status < 200 || status > 599)
		finish(transfer, ERR_PEER_INVALID, "no HTTP status");
	else
		finish(transfer, ERR_OK, NULL);
}

/* Behind the request anything may have happened: only PEER_UNREACHABLE says that nothing of
 * it has left. */
static enum err error_class(CURLcode code, bool sent)
{
	if (!sent)
		return ERR_PEER_UNREACHABLE;
	return code == CURLE_OPERATION_TIMEDOUT ? ERR_PEER_TIMEOUT : ERR_PEER_INVALID;
}

void transfer_finished(CURL *easy, CURLcode code)
{
	struct transfer *transfer;
	long sent = 0;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
	curl_multi_remove_handle(loop_curl(transfer->loop), easy);
	transfer->running = false;
	if (code == CURLE_OK)
		take_answer(transfer);
	else if (transfer->invalid != NULL)
		finish(transfer, ERR_PEER_INVALID, transfer->invalid);
	else if (sent == 0 && transfer->next_target < transfer->targets.count)
		try_next(transfer);
	else if (transfer->refused != NULL)
		finish(transfer, ERR_PEER_UNREACHABLE, transfer->refused);
	else
		finish(transfer, error_class(code, sent > 0),
		       transfer->curl_error[0] != '\0' ? transfer->curl_error
						       : curl_easy_strerror(code));
}

/* Starting */

static void add_header(struct transfer *transfer, const char *name, const char *value)
{
	const char *line = arena_printf(transfer->arena, "%s: %s", name, value);
	struct curl_slist *list = curl_slist_append(transfer->headers, line);

	if (list == NULL)
		fatal("out of memory");
	transfer->headers = list;
}

static void set_headers(struct transfer *transfer, const struct transfer_request *request)
{
	const struct s2s_headers *signature = request->signature;

	add_header(transfer, "Host", request->host);
	if (request->content_type != NULL)
		add_header(transfer, "Content-Type", request->content_type);
	if (signature != NULL) {
		add_header(transfer, "Content-Digest", signature->content_digest);
		add_header(transfer, "Restante-Destination", request->destination);
		add_header(transfer, "Signature-Input", signature->signature_input);
		add_header(transfer, "Signature", signature->signature);
	}
	/* Without a value: curl does not send it. */
	transfer->headers = curl_slist_append(transfer->headers, "Expect:");
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

static void set_safety(CURL *easy, const struct config *config)
{
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED_BYTES);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_SECONDS);
	if (config->federation_ca_file[0] == '\0')
		return;
	/* Instead of the system's authorities, not beside them. */
	curl_easy_setopt(easy, CURLOPT_CAINFO, config->federation_ca_file);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}

static void set_callbacks(struct transfer *transfer)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)transfer);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head_line);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->answer_max);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
}

static void set_request(struct transfer *transfer, const struct transfer_request *request)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "restante/" RESTANTE_VERSION);
	set_headers(transfer, request);
	if (request->content_type == NULL)
		return;
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
			 request->body.len > 0 ? (const char *)request->body.data : "");
}

struct transfer *
transfer_start(struct loop *loop, const struct transfer_request *request,
	       void (*done)(void *context, const struct transfer_answer *answer), void *context)
{
	struct transfer *transfer = calloc(1, sizeof *transfer);

	if (transfer == NULL || (transfer->easy = curl_easy_init()) == NULL)
		fatal("out of memory");
	transfer->task.run = tell;
	transfer->loop = loop;
	transfer->arena = arena_create();
	transfer->targets = *request->targets;
	transfer->answer_max = request->answer_max;
	transfer->connect_timeout_ms = request->connect_timeout_ms;
	transfer->deadline_ms = clock_monotonic_ms() + request->timeout_ms;
	transfer->done = done;
	transfer->context = context;
	text_init(&transfer->body, transfer->arena, 0);
	set_safety(transfer->easy, loop_config(loop));
	set_callbacks(transfer);
	set_request(transfer, request);
	if (transfer->targets.count == 0)
		finish(transfer, ERR_PEER_UNREACHABLE, "no address");
	else
		try_next(transfer);
	return transfer;
}

void transfer_cancel(struct transfer **transfer)
{
	if (*transfer == NULL)
		return;
	loop_forget((*transfer)->loop, &(*transfer)->task);
	free_transfer(*transfer);
	*transfer = NULL;
}

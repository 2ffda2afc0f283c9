/* SPDX-License-Identifier: MIT
 *
 * Heads of HTTP requests: whatever is accepted has one Host, one length in plain digits,
 * and a path of printable ASCII; and finding the end in pieces finds the same end.
 */
#include "head.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct head *head)
{
	assert(head->path.len > 0 && head->path.data[0] == '/');
	for (size_t i = 0; i < head->path.len; i++)
		assert(head->path.data[i] > ' ' && head->path.data[i] < 0x7f);
	for (size_t i = 0; i < head->content_length.len; i++)
		assert(head->content_length.data[i] >= '0' &&
		       head->content_length.data[i] <= '9');
	assert(head->host.data != NULL || !head->http_1_1);
	assert(head->transfer_encoding.data == NULL);
}

static size_t end_in_pieces(struct bytes data)
{
	size_t scanned = 0, len = 0;

	for (size_t n = 1; n <= data.len; n++) {
		if (head_find_end(bytes_of(data.data, n), &scanned, &len) == HEAD_COMPLETE)
			return len;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	const char *reason = NULL;
	size_t scanned = 0, len = 0;
	struct head head;

	if (size > 4096 || head_find_end(in, &scanned, &len) != HEAD_COMPLETE)
		return 0;
	assert(len <= size && end_in_pieces(in) == len);
	if (head_parse(bytes_of(data, len), &head, &reason) == ERR_OK)
		check_accepted(&head);
	else
		assert(reason != NULL);
	return 0;
}

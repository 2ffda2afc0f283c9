/* SPDX-License-Identifier: MIT
 *
 * Walks over JSON that a node has written (scan.h).
 */
#include "scan.h"

#include "restante/log.h"

static _Noreturn void scan_fail(void)
{
	fatal("the node has written JSON that is not as expected");
}

static uint8_t scan_peek(const struct scan *scan)
{
	if (scan->at == scan->end)
		scan_fail();
	return *scan->at;
}

static void scan_skip_string(struct scan *scan)
{
	scan->at++;
	while (scan_peek(scan) != '"')
		scan->at += *scan->at == '\\' ? 2 : 1;
	scan->at++;
}

/* Everything up to the end of the value that begins here. */
static struct bytes scan_value(struct scan *scan)
{
	const uint8_t *start = scan->at;
	int depth = 0;

	do {
		switch (scan_peek(scan)) {
		case '"':
			scan_skip_string(scan);
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		}
		scan->at++;
	} while (depth > 0 || (scan->at < scan->end && strchr(",:]}", *scan->at) == NULL));
	return bytes_of(start, (size_t)(scan->at - start));
}

struct scan scan_into(struct bytes value)
{
	if (value.len < 2 || (value.data[0] != '{' && value.data[0] != '['))
		scan_fail();
	return (struct scan){.at = value.data + 1, .end = value.data + value.len - 1};
}

bool scan_element(struct scan *scan, struct bytes *value_out)
{
	if (scan->at == scan->end)
		return false;
	*value_out = scan_value(scan);
	if (scan->at < scan->end)
		scan->at++;
	return true;
}

bool scan_member(struct scan *scan, struct bytes *name_out, struct bytes *value_out)
{
	if (!scan_element(scan, name_out))
		return false;
	*name_out = scan_string(*name_out);
	if (!scan_element(scan, value_out))
		scan_fail();
	return true;
}

struct bytes scan_get(struct bytes object, const char *name)
{
	struct scan scan = scan_into(object);
	struct bytes found;
	struct bytes value;

	while (scan_member(&scan, &found, &value))
		if (bytes_equal(found, bytes_of_text(name)))
			return value;
	return bytes_of(NULL, 0);
}

struct bytes scan_string(struct bytes value)
{
	if (value.len < 2 || value.data[0] != '"')
		scan_fail();
	return bytes_of(value.data + 1, value.len - 2);
}

int64_t scan_number(struct bytes value)
{
	int64_t number = 0;

	if (value.len == 0)
		scan_fail();
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			scan_fail();
		number = 10 * number + (value.data[i] - '0');
	}
	return number;
}

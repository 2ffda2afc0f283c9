/* SPDX-License-Identifier: MIT
 *
 * The form of log lines and of quoted values.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "restante/log.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void plain_text_is_quoted(void **state)
{
	(void)state;
	assert_string_equal(log_quote(""), "\"\"");
	assert_string_equal(log_quote(NULL), "\"\"");
	assert_string_equal(log_quote("no such host"), "\"no such host\"");
}

static void what_is_not_printable_is_escaped(void **state)
{
	(void)state;
	assert_string_equal(log_quote("a\"b\\c"), "\"a\\\"b\\\\c\"");
	assert_string_equal(log_quote("1\n2\r3\t"), "\"1\\n2\\r3\\t\"");
	assert_string_equal(log_quote("\x1b\x7f\xc3\xbc"), "\"\\x1b\\x7f\\xc3\\xbc\"");
}

static void long_text_is_cut_inside_the_quotes(void **state)
{
	char text[5000];
	const char *quoted;

	(void)state;
	memset(text, '\n', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	quoted = log_quote(text);
	assert_true(strlen(quoted) < 600);
	assert_string_equal(quoted + strlen(quoted) - 6, "\\n...\"");
}

static void eight_quotes_can_stand_in_one_line(void **state)
{
	const char *quoted[8];
	char number[2] = "0";

	(void)state;
	for (int i = 0; i < 8; i++) {
		number[0] = (char)('0' + i);
		quoted[i] = log_quote(number);
	}
	assert_string_equal(quoted[0], "\"0\"");
	assert_string_equal(quoted[7], "\"7\"");
}

/* Standard error goes into a pipe between these two. */
static int saved_stderr;
static int pipe_end;

static void capture(void)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	pipe_end = ends[0];
}

static size_t captured(char *line, size_t size)
{
	ssize_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	n = read(pipe_end, line, size - 1);
	close(pipe_end);
	assert_true(n >= 0);
	line[n] = '\0';
	return (size_t)n;
}

static void assert_matches(const char *line, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, line, 0, NULL, 0) != 0)
		fail_msg("%s does not match %s", line, pattern);
	regfree(&re);
}

#define TS "^ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static void a_line_names_time_level_thread_and_event(void **state)
{
	char line[4096];

	(void)state;
	log_thread_name("net");
	capture();
	errno = ENOENT;
	log_warn(listening, "address=%s", "[::]:443");
	assert_int_equal(errno, ENOENT);
	captured(line, sizeof line);
	assert_matches(line,
		       TS "level=warn thread=net event=listening address=\\[::\\]:443\n$");
}

static void an_event_can_stand_alone(void **state)
{
	char line[4096];

	(void)state;
	capture();
	log_info(stopped, "%s", "");
	captured(line, sizeof line);
	assert_matches(line, TS "level=info thread=[a-z]+ event=stopped\n$");
}

static void lower_levels_are_left_out(void **state)
{
	char line[4096];

	(void)state;
	log_set_level(LOG_WARN);
	capture();
	log_info(tls, "n=%d", 1);
	log_error(tls, "n=%d", 2);
	captured(line, sizeof line);
	log_set_level(LOG_INFO);
	assert_matches(line, TS "level=error thread=[a-z]+ event=tls n=2\n$");
}

static void a_long_line_is_cut(void **state)
{
	char line[8192];
	size_t len;

	(void)state;
	for (int width = 1900; width < 2100; width++) {
		capture();
		log_info(config, "n=%0*d", width, 0);
		len = captured(line, sizeof line);
		assert_true(len <= 2048);
		assert_int_equal(line[len - 1], '\n');
	}
	assert_int_equal(len, 2048);
	assert_string_equal(line + len - 4, "...\n");
}

static void a_value_cannot_start_a_line(void **state)
{
	char line[4096];

	(void)state;
	capture();
	log_info(config, "path=%s", "a\nlevel=error");
	captured(line, sizeof line);
	assert_matches(line, "path=a\\?level=error\n$");
}

static void fatal_says_why_and_ends_the_process(void **state)
{
	char line[4096];
	int status = 0;
	pid_t child;

	(void)state;
	capture();
	child = fork();
	if (child == 0)
		fatal("no %s", "luck");
	assert_int_equal(waitpid(child, &status, 0), child);
	captured(line, sizeof line);
	assert_matches(line, "level=error .*event=fatal reason=\"no luck\"\n$");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_is_quoted),
		cmocka_unit_test(what_is_not_printable_is_escaped),
		cmocka_unit_test(long_text_is_cut_inside_the_quotes),
		cmocka_unit_test(eight_quotes_can_stand_in_one_line),
		cmocka_unit_test(a_line_names_time_level_thread_and_event),
		cmocka_unit_test(an_event_can_stand_alone),
		cmocka_unit_test(lower_levels_are_left_out),
		cmocka_unit_test(a_long_line_is_cut),
		cmocka_unit_test(a_value_cannot_start_a_line),
		cmocka_unit_test(fatal_says_why_and_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The load generator of ./dev bench: one command a process, started by tests/bench/bench.py.
 */
#include "against/xmpp.h"
#include "content.h"
#include "run.h"
#include "scan.h"

#include "restante/crypto.h"
#include "restante/log.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: restante_bench COMMAND [--ca FILE] OPTION...\n"
	"  register --domain D --port N --name PREFIX --count N [--devices N]   prints "
	"accounts\n"
	"  upload   --accounts FILE --count N                     each that many one-time "
	"keys\n"
	"  accept   --accounts FILE --to FILE                     each accepts all of --to\n"
	"  send     --accounts FILE --to FILE --messages N [--flow N] [--size BYTES]\n"
	"           [--window N] [--array N] [--rate N] [--receipts N] [--http 1] [--busy 1]\n"
	"  receive  --accounts FILE --senders N --messages N [--flow N] [--busy 1]\n"
	"  echo     --accounts FILE --messages N [--window N] [--http 1]\n"
	"  claim    --accounts FILE --to FILE --messages N --flow N --count N\n"
	"  idle     --accounts FILE                               until its standard input "
	"ends\n"
	"  xmpp-register, xmpp-send, xmpp-receive, xmpp-idle      the same with XMPP servers\n"
	"Without --ca there is no TLS. --timeout SECONDS ends any of them.\n";

enum option_name {
	OPTION_CA = 1,
	OPTION_DOMAIN,
	OPTION_PORT,
	OPTION_NAME,
	OPTION_COUNT,
	OPTION_ACCOUNTS,
	OPTION_TO,
	OPTION_MESSAGES,
	OPTION_FLOW,
	OPTION_SIZE,
	OPTION_WINDOW,
	OPTION_ARRAY,
	OPTION_RATE,
	OPTION_RECEIPTS,
	OPTION_SENDERS,
	OPTION_TIMEOUT,
	OPTION_DEVICES,
	OPTION_HTTP,
	OPTION_BUSY,
	OPTION_END,
};

static const struct option options[] = {
	{"ca", required_argument, NULL, OPTION_CA},
	{"domain", required_argument, NULL, OPTION_DOMAIN},
	{"port", required_argument, NULL, OPTION_PORT},
	{"name", required_argument, NULL, OPTION_NAME},
	{"count", required_argument, NULL, OPTION_COUNT},
	{"accounts", required_argument, NULL, OPTION_ACCOUNTS},
	{"to", required_argument, NULL, OPTION_TO},
	{"messages", required_argument, NULL, OPTION_MESSAGES},
	{"flow", required_argument, NULL, OPTION_FLOW},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"window", required_argument, NULL, OPTION_WINDOW},
	{"array", required_argument, NULL, OPTION_ARRAY},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"receipts", required_argument, NULL, OPTION_RECEIPTS},
	{"senders", required_argument, NULL, OPTION_SENDERS},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"devices", required_argument, NULL, OPTION_DEVICES},
	{"http", required_argument, NULL, OPTION_HTTP},
	{"busy", required_argument, NULL, OPTION_BUSY},
	{0},
};

static const char *const defaults[OPTION_END] = {
	[OPTION_PORT] = "443",	[OPTION_COUNT] = "1",	  [OPTION_MESSAGES] = "0",
	[OPTION_FLOW] = "0",	[OPTION_SIZE] = "300",	  [OPTION_WINDOW] = "32",
	[OPTION_ARRAY] = "1",	[OPTION_RATE] = "0",	  [OPTION_RECEIPTS] = "0",
	[OPTION_SENDERS] = "1", [OPTION_TIMEOUT] = "600", [OPTION_DEVICES] = "1",
	[OPTION_HTTP] = "0",	[OPTION_BUSY] = "0",
};

static _Noreturn void usage_exit(void)
{
	fputs(usage, stderr);
	exit(2);
}

static const char *needed(const char *const *given, enum option_name name)
{
	if (given[name] == NULL)
		usage_exit();
	return given[name];
}

static size_t number(const char *const *given, enum option_name name)
{
	return strtoul(needed(given, name), NULL, 10);
}

void run_check_time(const struct run *run, const char *what, size_t done, size_t of)
{
	if (now_ns() > run->deadline_ns)
		fatal("only %zu of %zu %s in time", done, of, what);
}

bool run_may_be_refused(const struct run *run, struct bytes refusal)
{
	return run->busy && bytes_equal(scan_get(refusal, "code"), bytes_of_text("\"BUSY\""));
}

void run_say_connected(void)
{
	printf("connected\n");
	fflush(stdout);
}

static void run_read(struct run *run, const char *const *given)
{
	run->accounts = accounts_load(needed(given, OPTION_ACCOUNTS));
	if (given[OPTION_TO] != NULL)
		run->to = accounts_load(given[OPTION_TO]);
	run->messages = number(given, OPTION_MESSAGES);
	run->flow = (uint32_t)number(given, OPTION_FLOW);
	run->size = number(given, OPTION_SIZE);
	run->window = number(given, OPTION_WINDOW);
	run->array = number(given, OPTION_ARRAY);
	run->rate = strtod(needed(given, OPTION_RATE), NULL);
	run->receipts = number(given, OPTION_RECEIPTS);
	run->senders = number(given, OPTION_SENDERS);
	run->http = number(given, OPTION_HTTP) != 0;
	run->busy = number(given, OPTION_BUSY) != 0;
	run->count = number(given, OPTION_COUNT);
	run->deadline_ns = now_ns() + number(given, OPTION_TIMEOUT) * UINT64_C(1000000000);
	if (run->size < CONTENT_HEAD || run->size > CONTENT_MAX || run->array == 0 ||
	    run->window < run->array || run->senders == 0)
		usage_exit();
}

static bool is_command(const char *text, const char *command)
{
	return strcmp(text, command) == 0;
}

static void command_run(const char *command, struct run *run, const char *const *given)
{
	if (is_command(command, "register")) {
		accounts_register(&run->tls, needed(given, OPTION_DOMAIN),
				  (uint16_t)number(given, OPTION_PORT),
				  needed(given, OPTION_NAME), number(given, OPTION_COUNT),
				  number(given, OPTION_DEVICES));
		return;
	}
	if (is_command(command, "xmpp-register")) {
		xmpp_register(&run->tls, needed(given, OPTION_DOMAIN),
			      (uint16_t)number(given, OPTION_PORT), needed(given, OPTION_NAME),
			      number(given, OPTION_COUNT));
		return;
	}
	run_read(run, given);
	if (is_command(command, "receive"))
		run_receive(run);
	else if (is_command(command, "echo"))
		run_echo(run);
	else if (is_command(command, "idle"))
		run_idle(run, &websocket);
	else if (is_command(command, "upload"))
		accounts_upload(&run->tls, &run->accounts, run->count);
	else if (is_command(command, "send") && run->to.count > 0)
		run_send(run);
	else if (is_command(command, "claim") && run->to.count > 0)
		run_claim(run);
	else if (is_command(command, "xmpp-receive"))
		xmpp_receive(run);
	else if (is_command(command, "xmpp-idle"))
		run_idle(run, &xmpp_stream);
	else if (is_command(command, "xmpp-send") && run->to.count > 0)
		xmpp_send(run);
	else if (is_command(command, "accept") && run->to.count > 0)
		accounts_accept(&run->tls, &run->accounts, &run->to);
	else
		usage_exit();
}

int main(int argc, char **argv)
{
	const char *given[OPTION_END];
	struct run run = {0};
	int name;

	memcpy(given, defaults, sizeof given);
	while ((name = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (name <= 0 || name >= OPTION_END)
			usage_exit();
		given[name] = optarg;
	}
	if (optind != argc - 1)
		usage_exit();
	signal(SIGPIPE, SIG_IGN);
	crypto_init();
	run.tls = tls_context_create(given[OPTION_CA]);
	command_run(argv[optind], &run, given);
	accounts_free(&run.accounts);
	accounts_free(&run.to);
	tls_context_destroy(&run.tls);
	return 0;
}

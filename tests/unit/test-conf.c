/* SPDX-License-Identifier: Apache-2.0 */

/* What a configuration means, and what is said of one that means nothing. */

#include "conf-text.h"

#include "config.h"

static void test_values_arrive(void **state)
{
	struct conf *conf =
		load_fine("workers = 3; drain = \"90s\"; user = \"a\" \"b\";\n"
			  "log = { level = \"debug\"; access = true; };\n"
			  "limits = { connections = 70000; };\n"
			  "listeners = ( { transport = \"tcp\"; port = 0x50;\n"
			  "  address = \"192.0.2.1\"; max_line = \"64k\"; framing = \"line\";\n"
			  "  charset = \"ascii\"; invalid = \"reject\"; service = \"echo\";\n"
			  "  idle_timeout = \"250ms\"; backlog = 10L; } );",
			NULL);
	const struct conf_listener *l = &conf->listeners[0];
	char text[ADDR_TEXT];

	assert_int_equal(conf->workers, 3);
	assert_int_equal(conf->drain_ms, 90000);
	assert_string_equal(conf->user, "ab");
	assert_int_equal(conf->log.level, LOG_LEVEL_DEBUG);
	assert_true(conf->log.access);
	assert_int_equal(conf->limits.connections, 70000);
	assert_int_equal(conf->n_listeners, 1);
	assert_string_equal(l->name, "tcp:80");
	assert_string_equal(addr_format(&l->address, text), "192.0.2.1:80");
	assert_int_equal(l->frame.max_line, 65536);
	assert_int_equal(l->frame.framing, UPPER_LINE);
	assert_int_equal(l->rule.charset, UPPER_ASCII);
	assert_int_equal(l->rule.invalid, UPPER_REJECT);
	assert_int_equal(l->service, SERVICE_echo);
	assert_int_equal(l->idle_ms, 250);
	assert_int_equal(l->backlog, 10);
	conf_free(conf);
}

static void test_defaults(void **state)
{
	struct conf *conf = load_fine(UDP, NULL);
	const struct conf_listener *l = &conf->listeners[0];
	char text[ADDR_TEXT];

	assert_int_equal(conf->workers, 0);
	assert_int_equal(conf->drain_ms, 30000);
	assert_int_equal(conf->limits.datagrams, 200);
	assert_int_equal(conf->limits.exempt.n, 2);
	assert_int_equal(conf->metrics.address.len, 0);
	assert_string_equal(l->name, "udp:12000");
	assert_string_equal(addr_format(&l->address, text), "[::]:12000");
	assert_int_equal(l->frame.framing, UPPER_DATAGRAM);
	assert_true(l->amplification == 3.0);
	assert_int_equal(l->idle_ms, 15 * 60000);
	conf_free(conf);
}

/* The shape that the manual promises, to the byte. */
static void test_shape_of_a_fault(void **state)
{
	struct outcome outcome = load_text("listeners = (\n"
					   "  { name = \"tls\"; transport = \"tcp\";\n"
					   "    prot = 12443;\n"
					   "\tbacklog = \"\303\251\"; service = \"ech\"; }\n"
					   ");\n",
		NULL);

	assert_string_equal(outcome.faults,
		"a.conf:3:5: error: listeners.tls.prot: unknown key; did you mean \"port\"?\n"
		"    3 |     prot = 12443;\n"
		"      |     ^~~~\n"
		"a.conf:4:2: error: listeners.tls.backlog: a whole number is needed, not the "
		"string "
		"\"\303\251\"\n"
		"    4 |  backlog = \"\303\251\"; service = \"ech\"; }\n"
		"      |  ^~~~~~~\n"
		"a.conf:4:17: error: listeners.tls.service: \"ech\" is not known; did you mean "
		"\"echo\"?\n"
		"    4 |  backlog = \"\303\251\"; service = \"ech\"; }\n"
		"      |                 ^~~~~~~\n");
	outcome_done(&outcome);
}

static void test_faults_as_json(void **state)
{
	const struct conf_file files[] = {{"a\".conf", "drain = 1;\n" UDP}, {NULL}};
	struct conf_source source = {
		.file = files[0].name,
		.read = read_from_table,
		.userdata = (void *)(uintptr_t)files,
	};
	struct faults faults = FAULTS_EMPTY;
	struct conf *conf = NULL;
	char *json = NULL;
	size_t size;
	FILE *to = open_memstream(&json, &size);

	assert_int_equal(conf_load(&source, &faults, &conf), CONF_E_FAULTS);
	faults_print_json(&faults, to);
	assert_int_equal(fclose(to), 0);
	assert_string_equal(json,
		"[{\"level\":\"error\",\"file\":\"a\\\".conf\",\"line\":1,\"column\":1,"
		"\"key\":\"drain\",\"message\":\"a string with a number and its unit, such as "
		"\\\"30s\\\", is needed, not the number 1\"}]\n");
	faults_done(&faults);
	free(json);
}

#define TCP "transport = \"tcp\"; port = 80; "

struct fault_case {
	const char *text, *part;
};

static void test_faults(void **state)
{
	static const struct fault_case cases[] = {
		{"", "a.conf: error: listeners: missing"},
		{"listeners = ();", "the list is empty"},
		{"listeners = 3;", "not the number 3"},
		{"listeners = ( 3 );", "listeners[0]: each listener is a group"},
		{"lisseners = ();", "did you mean \"listeners\"?"},
		{"a = = 1;\n" UDP, "a.conf:1:5: error: a: a value is missing before this '='"},
		{UDP "x = 1;", "a.conf:2:1: error: x: unknown key\n"},
		{UDP "log = 1;", "log: a group { ... } is needed, not the number 1"},
		{UDP "log = { lvel = 1; };", "log.lvel: unknown key; did you mean \"level\"?"},
		{UDP "workers = -1;", "-1 is out of range; 0 to 256"},
		{UDP "log = { access = \"1/0\"; };",
			"\"1/0\" is out of range; \"1/1\" to \"1/1000000\""},
		{UDP "log = { access = \"1/18446744073709551617\"; };", "is out of range"},
		{UDP "log = { access = \"2/3\"; };", "true, false, or a string such as \"1/100\","},
		{UDP "log = { access = \"1/\"; };", "true, false, or a string such as"},
		{UDP "log = { access = 1; };", "true, false, or a string such as"},
		{UDP "workers = 1.5;", "not the number 1.5"},
		{UDP "workers = 99999999999;", "out of range"},
		{UDP "workers = 99999999999L;", "99999999999 is out of range"},
		{UDP "workers = 99999999999999999999L;",
			"workers: 9223372036854775807 is out of range; 0 to 256 will do"},
		{UDP "workers = 0xFFFFFFFF;", "out of range"},
		{UDP "workers = true;", "not true"},
		{UDP "drain = \"30\";", "not the string \"30\""},
		{UDP "drain = \"25h\";", "\"25h\" is out of range; \"0\" to \"24h\""},
		{UDP "user = \"\";", "a string of 0 bytes is out of range"},
		{UDP "user = \"a\\x00b\";", "NUL"},
		{UDP "user = \"a\\xffb\";", "not UTF-8"},
		{UDP "limits = { dry_run = 1; };", "true or false is needed"},
		{UDP "metrics = { path = \"\"; };", "out of range"},
		{UDP "metrics = { path = \"@\"; };", "not a path of a unix socket"},
		{UDP "metrics = { address = \"localhost\"; port = 3; };",
			"names are not looked up"},
		{UDP "metrics = { path = \"/c\"; }; control = { path = \"/c\"; };",
			"is the path of control.path"},
		{LISTENER(TCP) "metrics = { address = \"127.0.0.1\"; port = 80; };",
			"metrics.port: listener \"tcp:80\" has"},
		{LISTENER("transport = \"tcp\"; path = \"/x\";") "metrics = { path = \"/x\"; };",
			"metrics.path: listener \"tcp:/x\" has"},
		{LISTENER("transport = \"tcp\"; port = 1; name = \"metrics\";") "metrics = { path "
										"= \"/x\"; };",
			"listener \"metrics\" needs another name"},
		{UDP "sandbox = \"stict\";", "\"stict\" is not known"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_faults(cases[i].text, cases[i].part);
}

/* What libconfig would not let be found, or not say where. */
static void test_faults_of_the_text(void **state)
{
	static const struct fault_case cases[] = {
		{UDP "workers = 1; workers\n= 2;",
			"a.conf:2:14: error: workers: set twice; a.conf:2 has it already"},
		{UDP "log = { level = \"info\";\nlevel : \"info\" };",
			"a.conf:3:1: error: log.level: set twice; a.conf:2 has it already"},
		{UDP "log = { }; drain = \"1s\"; log = { };\ndrain = \"1s\";",
			"error: drain: set twice"},
		{"listeners = ( { " TCP "}, { port = 1; " TCP "} );",
			"a.conf:1:81: error: listeners.port: set twice; a.conf:1 has it already"},
		{UDP "drain = 30s;\nlog : { level\n= debug } ;",
			"a.conf:2:9: error: drain: 30s is no value; a string goes in quotes, as in "
			"\"30s\"\n"},
		{UDP "drain = 30s;\nlog : { level\n= debug } ;",
			"a.conf:4:3: error: log.level: debug is no value"},
		{UDP "limits = { exempt = [\"::1\", all], per_client = 99999999999, dry_run = TRUE "
		     "}",
			"a.conf:2:29: error: limits.exempt: all is no value"},
		{UDP "limits = { exempt = [\"::1\"], per_client = 99999999999, dry_run = TRUE }",
			"error: limits.per_client: 99999999999 is out of range"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_faults(cases[i].text, cases[i].part);
}

static void test_faults_of_listeners(void **state)
{
	static const struct fault_case cases[] = {
		{LISTENER("port = 1;"), "transport: missing"},
		{LISTENER("transport = \"udp\";"), "port: missing; a port or a path"},
		{LISTENER("transport = \"sctp\"; port = 1;"), "\"sctp\" is not known"},
		{LISTENER("transport = \"quic\"; port = 1;"),
			"\"udp\", \"tcp\", \"tls\" or \"dtls\""},
		{LISTENER("transport = \"dtls\"; port = 1; framing = \"line\";"),
			"framing: only for tcp and tls"},
		{LISTENER("transport = \"dtls\"; port = 1; proxy_protocol = \"optional\";"),
			"proxy_protocol: only for udp and tcp and tls"},
		{LISTENER(TCP "tls = { };"), "tls: only for"},
		{LISTENER(TCP "path = \"/x\";"), "a port and a path both"},
		{LISTENER(TCP "mode = \"0600\";"), "only for a listener with a path"},
		{LISTENER(TCP "address = \"localhost\";"), "names are not looked up"},
		{LISTENER(TCP "address = \"127.0.0.1\"; v6only = true;"), "the address is IPv4"},
		{LISTENER(TCP "address = \"fe80::1\";"), "such as fe80::1%eth0"},
		{LISTENER(TCP "address = \"fe80::1%none-here\";"), "does not have ('ip link'"},
		{LISTENER(TCP "address = \"224.0.0.1\";"), "224.0.0.1 is no address of one host"},
		{LISTENER(TCP "address = \"255.255.255.255\";"), "no address of one host"},
		{LISTENER(TCP "address = \"ff02::1\";"), "ff02::1 is no address of one host"},
		{LISTENER(TCP "amplification = 2.0;"), "only for udp and dtls, and this is tcp"},
		{LISTENER(TCP "max_line = \"64q\";"), "such as \"64k\""},
		{LISTENER(TCP "max_line = \"2G\";"), "out of range; 1 to 1048576"},
		{LISTENER(TCP "name = \"a b\";"), "\"a b\" is no name"},
		{LISTENER(TCP "proxy_protocol = \"required\";"), "needs proxy_from too"},
		{LISTENER("transport = \"tcp\"; port = 0;"), "0 is out of range; 1 to 65535"},
		{LISTENER("transport = \"udp\"; path = \"/x\";"), "path: only for tcp and tls"},
		{LISTENER("transport = \"udp\"; port = 1; amplification = 1e999;"), "out of range"},
		{LISTENER("transport = \"tcp\"; path = \"@x\"; mode = \"0600\";"),
			"an abstract socket"},
		{LISTENER("transport = \"tcp\"; path = \"/x\"; mode = 0600;"), "in octal"},
		{LISTENER("transport = \"tcp\"; path = \"/x\"; mode = \"7777\";"),
			"at most \"0777\""},
		{LISTENER("transport = \"tcp\"; path = \"/x\"; address = \"::\";"), "has a path"},
		{LISTENER("transport = \"tcp\"; path = \"/x y\";"), "name: missing"},
		{"control = { path = \"/x\"; };" LISTENER("transport = \"tcp\"; path = \"/x\";"),
			"is the path of listener"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_faults(cases[i].text, cases[i].part);
}

/* What "off" switches off is not missing. */
static void test_off_is_always_supported(void **state)
{
	conf_free(load_fine("sandbox = \"off\";" LISTENER(TCP "proxy_protocol = \"off\";"), NULL));
}

static void test_all_faults_in_one_run(void **state)
{
	struct outcome outcome = load_text("wokers = 1;\ndrain = 5;\n" LISTENER("prot = 1;"), NULL);

	assert_says(outcome.faults, "a.conf:1:1: error: wokers");
	assert_says(outcome.faults, "a.conf:2:1: error: drain");
	assert_says(outcome.faults, "a.conf:3:17: error: listeners[0].prot");
	assert_says(outcome.faults, "listeners[0].transport: missing");
	assert_null(strstr(outcome.faults, "[0].port: missing"));
	outcome_done(&outcome);
}

static void test_addresses_that_meet(void **state)
{
	static const struct {
		const char *a, *b;
		bool meet;
	} cases[] = {
		{"transport=\"tcp\"; port=1;", "transport=\"tcp\"; port=1;", true},
		{"transport=\"tcp\"; port=1;", "transport=\"tcp\"; port=2;", false},
		{"transport=\"tcp\"; port=1;", "transport=\"udp\"; port=1;", false},
		{"transport=\"tcp\"; port=1;", "transport=\"tcp\"; port=1; address=\"0.0.0.0\";",
			true},
		{"transport=\"tcp\"; port=1;", "transport=\"tcp\"; port=1; address=\"192.0.2.1\";",
			true},
		{"transport=\"tcp\"; port=1; v6only=true;",
			"transport=\"tcp\"; port=1; address=\"192.0.2.1\";", false},
		{"transport=\"tcp\"; port=1; v6only=true;",
			"transport=\"tcp\"; port=1; address=\"::1\";", true},
		{"transport=\"tcp\"; port=1; address=\"0.0.0.0\";",
			"transport=\"tcp\"; port=1; address=\"::1\";", false},
		{"transport=\"tcp\"; port=1; address=\"127.0.0.1\";",
			"transport=\"tcp\"; port=1; address=\"127.0.0.2\";", false},
		{"transport=\"tcp\"; port=1; interface=\"a\";",
			"transport=\"tcp\"; port=1; interface=\"b\";", false},
		{"transport=\"tcp\"; path=\"/x\";", "transport=\"tcp\"; path=\"/x\";", true},
		{"transport=\"tcp\"; path=\"/x\";", "transport=\"tcp\"; path=\"/y\";", false},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char text[512];
		struct outcome outcome;

		snprintf(text, sizeof(text),
			"listeners = ( { name=\"a\"; %s }, { name=\"b\"; %s } );", cases[i].a,
			cases[i].b);
		outcome = load_text(text, NULL);
		if (cases[i].meet)
			assert_says(outcome.faults, "listener \"a\" has ");
		else
			assert_string_equal(outcome.faults, "");
		outcome_done(&outcome);
	}
}

static void test_names_are_unique(void **state)
{
	assert_faults("listeners = ( { name = \"a\"; transport = \"udp\"; port = 1; },\n"
		      " { name = \"a\"; transport = \"udp\"; port = 2; } );",
		"a.conf:2:4: error: listeners.a.name: \"a\" is the name of an earlier listener");
}

static void test_sets(void **state)
{
	const char *const sets[] = {"listeners.a.b.port=443", "drain=5s", "user=me",
		"group=\"x y\"", "limits.connections=7", "log.access=true",
		"listeners.a.b.amplification=2", NULL};
	struct conf *conf =
		load_fine(LISTENER("name = \"a.b\"; transport = \"udp\"; port = 1;"), sets);

	assert_int_equal(conf->listeners[0].port, 443);
	assert_int_equal(addr_port(&conf->listeners[0].address), 443);
	assert_true(conf->listeners[0].amplification == 2.0);
	assert_int_equal(conf->drain_ms, 5000);
	assert_string_equal(conf->user, "me");
	assert_string_equal(conf->group, "x y");
	assert_int_equal(conf->limits.connections, 7);
	assert_true(conf->log.access);
	conf_free(conf);
}

/* Its keys over those of the file; the last of several sets wins. */
static void test_set_of_a_group(void **state)
{
	const char *const sets[] = {
		"log={level=\"debug\"; format=\"json\";}", "log.format=text", NULL};
	struct conf *conf = load_fine(UDP "log = { level = \"error\"; access = true; };", sets);

	assert_int_equal(conf->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(conf->log.format, CONF_LOG_TEXT);
	assert_int_equal(conf->log.access, 1);
	conf_free(conf);
}

static void test_sets_that_fail(void **state)
{
	static const struct {
		const char *set, *part;
	} cases[] = {
		{"workers", "--set workers: error: KEY=VALUE is needed, as in"},
		{"wokers=1",
			"--set wokers=1: error: wokers: unknown key; did you mean \"workers\"?\n"},
		{"log.lvel=x", "unknown key; did you mean \"level\"?"},
		{"workers=many", "workers: a whole number is needed, not the string \"many\""},
		{"workers=1; x = 2", "a whole number is needed"},
		{"workers=1\n@include \"/etc/passwd\"\n", "a whole number is needed"},
		{"workers=300", "--set workers=300: error: workers: 300 is out of range"},
		{"log=1", "--set log=1: error: log: a group { ... } is needed, not the number 1\n"},
		{"listeners=()",
			"listeners go by their names; set a key of one, as in "
			"listeners.udp:12000.port=12000\n"},
		{"listeners[0].port=1", "listeners go by their names"},
		{"listeners.udp:12000=3",
			"listeners go by their names; set a key of one, as in "
			"listeners.udp:12000.port=12000\n"},
		{"listeners.web.port=1", "listeners go by their names; set a key of one"},
		{"tls=1",
			HAVE_TLS ? "tls: a group { ... } is needed"
				 : "tls: not supported by this build"},
		{"=1", "KEY=VALUE is needed"},
		{"listeners.udp:1200.port=1", "did you mean \"udp:12000\"?"},
		{"listeners.udp:120001.port=1", "there is no such listener"},
		{"listeners.udp:12000.prot=1", "did you mean \"port\"?"},
		{"user=\xff", "--set user=\\xff: error: user: the string is not UTF-8"},
		{"=", "KEY=VALUE is needed"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const char *const sets[] = {cases[i].set, NULL};
		struct outcome outcome = load_text(UDP, sets);

		assert_says(outcome.faults, cases[i].part);
		outcome_done(&outcome);
	}
}

static void test_names_for_the_log(void **state)
{
	assert_string_equal(conf_transport_name(CONF_DTLS), "dtls");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_arrive),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_shape_of_a_fault),
		cmocka_unit_test(test_faults_as_json),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_of_the_text),
		cmocka_unit_test(test_faults_of_listeners),
		cmocka_unit_test(test_off_is_always_supported),
		cmocka_unit_test(test_all_faults_in_one_run),
		cmocka_unit_test(test_addresses_that_meet),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_set_of_a_group),
		cmocka_unit_test(test_sets_that_fail),
		cmocka_unit_test(test_names_for_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The dump: complete, with origins, and a fixed point. Links a build that has every key. */

#include "conf-text.h"

static char *dump(const struct conf *conf)
{
	char *text = NULL;

	assert_int_equal(conf_dump(conf, &text), 0);
	return text;
}

static char *dump_of(const char *text, const char *const *sets)
{
	struct conf *conf = load_fine(text, sets);
	char *dumped = dump(conf);

	conf_free(conf);
	return dumped;
}

static const char whole[] =
	"workers = 3; drain = \"250ms\"; sandbox = \"strict\";\n"
	"user = \"a\\\"b\\\\x41\\x0a\\t\303\251\";\n"
	"log = { level = \"debug\"; access = true; };\n"
	"metrics = { address = \"::1\"; port = 9100; };\n"
	"limits = { exempt = [ \"192.0.2.0/24\", \"2001:db8::/32\" ]; dry_run = true; };\n"
	"tls = { ciphers = \"A\"; alpn = [ \"x\", \"y\" ]; min_version = \"1.3\";\n"
	"  certificates = ( { certificate = \"c\"; key = \"k\"; } ); };\n"
	"listeners = (\n"
	"  { transport = \"udp\"; port = 1; amplification = 1.1; interface = \"lo\"; },\n"
	"  { transport = \"udp\"; port = 2; amplification = 1000; address = \"192.0.2.1\"; },\n"
	"  { transport = \"tcp\"; port = 1; v6only = true; proxy_protocol = \"optional\";\n"
	"    proxy_from = [ \"10.0.0.0/8\" ]; max_line = \"1M\"; },\n"
	"  { transport = \"tcp\"; path = \"/run/x\"; mode = \"0600\"; owner = \"me\"; },\n"
	"  { transport = \"tcp\"; path = \"@x\"; name = \"abstract\"; },\n"
	"  { transport = \"tls\"; port = 3; tls = { ciphers = \"B\"; client_auth = \"required\";\n"
	"      client_ca = \"credential:ca\"; tickets = false;\n"
	"      client_names = [ \"dns:a.test\", \"uri:spiffe://a/*\" ]; }; },\n"
	"  { transport = \"dtls\"; port = 3; tls = { min_version = \"1.2\"; mtu = 1400;\n"
	"      alpn = []; certificates = (\n"
	"      { certificate = \"a\"; key = \"b\"; }, { certificate = \"c\"; key = \"d\";\n"
	"        ocsp = \"e\"; } ); }; }\n"
	");\n";

static void test_dump_of_a_dump_is_the_same(void **state)
{
	const char *const sets[] = {"limits.datagrams=7", "listeners.abstract.backlog=9", NULL};
	char *first = dump_of(whole, sets), *second = dump_of(first, NULL);

	assert_string_equal(second, first);
	free(first);
	free(second);
}

static void test_values_survive(void **state)
{
	char *text = dump_of(whole, NULL);
	struct conf *conf = load_fine(text, NULL);

	assert_string_equal(conf->user, "a\"b\\x41\n\t\303\251");
	assert_int_equal(conf->drain_ms, 250);
	assert_true(conf->listeners[0].amplification == 1.1);
	assert_true(conf->listeners[1].amplification == 1000.0);
	assert_int_equal(conf->listeners[3].mode, 0600);
	assert_int_equal(conf->listeners[2].frame.max_line, 1 << 20);
	conf_free(conf);
	free(text);
}

/* Doubles come back as the same bits. */
static void test_ratios_are_exact(void **state)
{
	static const char *const ratios[] = {
		"1.0", "1.1", "2.9999999999999996", "333.33333333333331", "1000", "1e2", "3"};

	for (size_t i = 0; i < N_ELEMENTS(ratios); i++) {
		char text[128], *dumped;
		struct conf *conf;

		sprintf(text, LISTENER("transport = \"udp\"; port = 1; amplification = %s;"),
			ratios[i]);
		dumped = dump_of(text, NULL);
		conf = load_fine(dumped, NULL);
		assert_true(conf->listeners[0].amplification == strtod(ratios[i], NULL));
		conf_free(conf);
		free(dumped);
	}
}

/* And look as they were written. */
static void test_ratios_are_short(void **state)
{
	char *text = dump_of(whole, NULL);

	assert_says(text, "amplification = 1.1;");
	assert_says(text, "amplification = 1000.0;");
	free(text);
}

/* log.access: true and false are the ends of a range that has a form of its own between them. */
static void test_sample(void **state)
{
	static const struct {
		const char *set;
		unsigned of;
		const char *dumped;
	} cases[] = {
		{"log.access=false", 0, "\taccess = false; #"},
		{"log.access=true", 1, "\taccess = true; #"},
		{"log.access=1/1", 1, "\taccess = true; #"},
		{"log.access=1/2", 2, "\taccess = \"1/2\"; #"},
		{"log.access=\"1/1000000\"", 1000000, "\taccess = \"1/1000000\"; #"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const char *const sets[] = {cases[i].set, NULL};
		char *dumped = dump_of(UDP, sets);
		struct conf *conf = load_fine(dumped, NULL);

		assert_says(dumped, cases[i].dumped);
		assert_int_equal(conf->log.access, cases[i].of);
		conf_free(conf);
		free(dumped);
	}
}

static void test_origins(void **state)
{
	const char *const sets[] = {"user=a\nb", NULL};
	char *text = dump_of("workers = 1;\n\ndrain = \"5s\"; #: elsewhere.conf:7\r\n" UDP, sets);

	assert_says(text, "\nuser = \"a\\x0ab\"; #: --set user=a\\x0ab\n");
	assert_says(text, "\ngroup = \"upperd\"; #: default\n");
	assert_says(text, "\nworkers = 1; #: a.conf:1\n");
	assert_says(text, "\ndrain = \"5s\"; #: elsewhere.conf:7\n");
	assert_says(text, "\n\t\tport = 12000; #: a.conf:4\n");
	assert_says(text, "\n\t\t# interface is not set\n");
	free(text);
}

static void test_tls_is_inherited(void **state)
{
	struct conf *conf = load_fine(whole, NULL);
	const struct conf_tls *a = &conf->listeners[5].tls, *b = &conf->listeners[6].tls;

	assert_string_equal(a->ciphers, "B");
	assert_string_equal(b->ciphers, "A");
	assert_int_equal(a->n_alpn, 2);
	assert_int_equal(b->n_alpn, 0);
	assert_int_equal(a->min_version, CONF_TLS_1_3);
	assert_int_equal(a->n_certificates, 1);
	assert_int_equal(b->n_certificates, 2);
	assert_string_equal(b->certificates[1].ocsp, "e");
	assert_false(a->tickets);
	assert_true(b->tickets);
	assert_int_equal(b->ticket_lifetime_ms, 12 * 3600 * 1000);
	conf_free(conf);
}

static void test_sets_of_tls(void **state)
{
	const char *const sets[] = {"tls.ciphers=C", "listeners.tls:3.tls.alpn=[\"z\"]",
		"listeners.dtls:3.tls.tickets=false", NULL};
	struct conf *conf = load_fine(whole, sets);

	assert_string_equal(conf->listeners[6].tls.ciphers, "C");
	assert_string_equal(conf->listeners[5].tls.ciphers, "B");
	assert_string_equal(conf->listeners[5].tls.alpn[0], "z");
	assert_false(conf->listeners[6].tls.tickets);
	assert_int_equal(conf->listeners[5].tls.mtu, 1232);
	assert_int_equal(conf->listeners[6].tls.mtu, 1400);
	conf_free(conf);
}

#define PIN "spki:sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void test_faults_of_tls(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{LISTENER("transport = \"tls\"; port = 1;"), "tls.certificates: missing"},
		{"tls = 3;" UDP, "tls: a group { ... } is needed"},
		{"tls = { alpn = [ 1 ]; };" UDP, "tls.alpn: an array of strings"},
		{"tls = { alpn = \"x\"; };" UDP, "not the string \"x\""},
		{"tls = { certificates = (); };" UDP, "a list of 1 to 64 groups"},
		{"tls = { certificates = ( 3 ); };" UDP, "each certificate is a group"},
		{"tls = { certificates = ( { certificate = \"x\"; } ); };" UDP,
			"tls.certificates.key: missing"},
		{"tls = { certificates = ( { kye = \"x\"; } ); };" UDP, "did you mean \"key\"?"},
		{LISTENER("transport = \"tls\"; port = 1; tls = 1;"), "tls: a group"},
		{"tls = { client_auth = \"required\";};" LISTENER(
			 "transport = \"dtls\"; port = 1;"),
			"tls.client_ca: missing; client_auth needs it"},
		{"tls = { client_names = [ \"dns:a\" ]; };" LISTENER(
			 "transport = \"tls\"; port = 1;"),
			"tls.client_names: needs client_auth = \"required\""},
		{"tls = { client_auth = \"required\"; client_names = [ \"" PIN
		 "\", \"dns:a\" ]; };" LISTENER("transport = \"tls\"; port = 1;"),
			"tls.client_ca: missing; names of client_names are believed from"},
		{"tls = { client_auth = \"required\"; client_names = [ \"" PIN
		 "\" ]; crl = \"c\"; };" LISTENER("transport = \"tls\"; port = 1;"),
			"tls.crl: needs client_ca"},
		{"tls = { client_names = [ \"x500:a\" ]; };" UDP,
			"tls.client_names: \"x500:a\": a name of no known kind"},
		{"tls = { client_names = [ 1 ]; };" UDP, "tls.client_names: an array of strings"},
		{"tls = { min_version = \"1.3\";};" LISTENER("transport = \"dtls\"; port = 1;"),
			"tls.min_version: \"1.3\" leaves nothing to speak"},
		{"tls = { mtu = 255; };" UDP, "tls.mtu: 255 is out of range; 256 to 4096"},
		{"limits = { exempt = [ \"10.0.0.1/8\" ]; };" UDP,
			"\"10.0.0.1/8\" is not a prefix"},
		{"limits = { exempt = ( 3 ); };" UDP, "limits.exempt: an array of strings"},
		{"metrics = { port = 1; };" UDP, "needs metrics.address too"},
		{"metrics = { address = \"::1\"; };" UDP, "needs metrics.port too"},
		{"metrics = { address = \"::1\"; port = 1; path = \"/x\"; };" UDP,
			"one of them will do"},
		{LISTENER("transport = \"tcp\"; port = 1; proxy_protocol = \"required\";"),
			"without it no header is believed"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_faults(cases[i].text, cases[i].part);
}

/* Two listeners inherit it, and the fault is said once. */
static void test_inherited_fault_is_said_once(void **state)
{
	struct outcome outcome = load_text("tls = { min_version = \"1.1\"; certificates = "
					   "({certificate=\"c\";key=\"k\";}); };\n"
					   "listeners = ( { transport = \"tls\"; port = 1; }, { "
					   "transport = \"tls\"; port = 2; } );",
		NULL);
	const char *first = strstr(outcome.faults, "error:");

	assert_non_null(first);
	assert_null(strstr(first + 1, "error:"));
	outcome_done(&outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dump_of_a_dump_is_the_same),
		cmocka_unit_test(test_values_survive),
		cmocka_unit_test(test_ratios_are_exact),
		cmocka_unit_test(test_ratios_are_short),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_tls_is_inherited),
		cmocka_unit_test(test_sets_of_tls),
		cmocka_unit_test(test_faults_of_tls),
		cmocka_unit_test(test_inherited_fault_is_said_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

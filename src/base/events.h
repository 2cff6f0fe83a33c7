/* SPDX-License-Identifier: Apache-2.0 */
/* No include guard: a table, read through EVENT(name, text, level, id). */

/* Every kind of record that there is: the name that text and JSON show, the usual level, and the
 * MESSAGE_ID of the journal, which never changes once given. */

// clang-format off
EVENT(STARTING,        "starting",        NOTICE,  "b6f4b0313fd51f641bac50c1251538ff")
EVENT(READY,           "ready",           NOTICE,  "ef04b1680dfe20962611a2b7e572d9ba")
EVENT(STOPPING,        "stopping",        NOTICE,  "6f9b56457c54498855b4bb99e3624726")
EVENT(STOPPED,         "stopped",         NOTICE,  "6de519a59112adee14d60a67cb2f611a")
EVENT(START_FAILED,    "start-failed",    ERROR,   "016e41d2244b1c6bc67fc627bdbefb5f")
EVENT(RELOADING,       "reloading",       NOTICE,  "64cbf9d9bc3e8cbef7977353dc3e5a3e")
EVENT(RELOADED,        "reloaded",        NOTICE,  "370248571e95aa343f1f219d9bec70c3")
EVENT(RELOAD_FAILED,   "reload-failed",   ERROR,   "2feb52f8af3b54437af2a190aaa0511c")
EVENT(CONFIG_FAULT,    "config-fault",    ERROR,   "66bcdde88a2225673ba77f65ac6769f6")
EVENT(NOTICE,          "notice",          NOTICE,  "81adde94d30fa7c43197d76e5a1bd805")
EVENT(CHILD_STARTED,   "child-started",   INFO,    "358e175a5396c15669f5129c147b2ab7")
EVENT(CHILD_ENDED,     "child-ended",     INFO,    "6edefd86ec98e88de51986a786201909")
EVENT(CHILD_DIED,      "child-died",      ERROR,   "0d55274df0d68b7c6f952ae1753962c2")
EVENT(CHILD_STUCK,     "child-stuck",     ERROR,   "b792f79c7e6cdbd4f8819dfa6c5e887e")
EVENT(CHILD_SAID,      "child-said",      WARNING, "034369ab01ebb42a57f98d72409a19a9")
EVENT(DRAIN_CUT,       "drain-cut",       WARNING, "6e9499ef1fd3bea660e4cd9dce43f28e")
EVENT(RECORDS_LOST,    "records-lost",    WARNING, "f0033ac80370bb2f8a895b2501a48427")
EVENT(LISTENING,       "listening",       INFO,    "f084409c8dbe531fba6ee9becbaea929")
EVENT(ACCEPT_PAUSED,   "accept-paused",   WARNING, "bbf29953634248ae687eddf0e72e18ae")
EVENT(ACCEPT_RESUMED,  "accept-resumed",  NOTICE,  "15a114666588ba7c01fa4e43c98ebf4e")
EVENT(ACCESS,          "access",          INFO,    "4d965812d7c12b64b5e274fcd986147c")
EVENT(MESSAGE,         "message",         INFO,    "b5ab8190bb0b92db2e9d8ed623fc4a64")
EVENT(PEER_REFUSED,    "peer-refused",    NOTICE,  "8f478150d69f6ae84a48bb248d70e331")
EVENT(PEERS_SERVED,    "peers-served",    NOTICE,  "05a08cc3c140b8fa7622f8a8287a59b7")
EVENT(PEER_ENDED,      "peer-ended",      INFO,    "76d7e5e68a9eefa354604dd103f669c0")
EVENT(CONTROL_REFUSED, "control-refused", WARNING, "a7b9c8405c40db00014d7ec7ce0af7f7")
EVENT(SYSTEM_REFUSED,  "system-refused",  WARNING, "3a9a3b7e0cf4a4133ea67c3f0f1e964f")
EVENT(CERTIFICATE_EXPIRES, "certificate-expires", WARNING, "ae5a4029f9c9a453ef223d85b76980a6")
EVENT(CERTIFICATE_RENEWED, "certificate-renewed", NOTICE,  "cfe255c9ca1da3c8a39916c85224a862")
EVENT(KEEPER_CUT,      "keeper-cut",      ERROR,   "440d722875983148193d224b0d2b3e7b")
EVENT(SOCKET_SHUT,     "socket-shut",     ERROR,   "080c1f3e6ffca4fcfaa3b1ee8164b67d")
EVENT(SANDBOX_OFF,     "sandbox-off",     WARNING, "69f2a42a39db99c8514e22cf8242f95d")
EVENT(SANDBOX_GAP,     "sandbox-gap",     WARNING, "7df511a0d8fbc7bb10aab4933ab4898d")
EVENT(UPGRADING,       "upgrading",       NOTICE,  "99ee3ff5b97315113161e0d2ae8455c4")
EVENT(UPGRADED,        "upgraded",        NOTICE,  "436c98100068ca2668f8462ec723d20e")
EVENT(UPGRADE_FAILED,  "upgrade-failed",  ERROR,   "042fabb255981bad5535cba4607feec1")
// clang-format on

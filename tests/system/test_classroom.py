# SPDX-License-Identifier: Apache-2.0
"""Programs of the shapes that students write, in the languages that they write them in, against the
configuration for a classroom. Each prints the answer to the words that it is given, and no more."""

import re
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from rig import ROOT
from wire import read_exactly

TEXT, LOUD = "hello, straße 1", "HELLO, STRASSE 1"

C_TCP = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char *argv[])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	char buffer[1024];
	int s = socket(AF_INET, SOCK_STREAM, 0), n;
	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	connect(s, (struct sockaddr *)&at, sizeof(at));
	send(s, argv[2], strlen(argv[2]), 0);
	n = recv(s, buffer, sizeof(buffer) - 1, 0);
	buffer[n < 0 ? 0 : n] = 0;
	puts(buffer);
	close(s);
}
"""
C_UDP = C_TCP.replace("SOCK_STREAM", "SOCK_DGRAM")

PYTHON_TO_THE_END = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    s.sendall(sys.argv[2].encode())
    data = b""
    while True:
        piece = s.recv(16)
        if not piece:
            break
        data += piece
print(data.decode())
"""
PYTHON_LINES = """
import socket, sys
s = socket.socket()
s.connect(("127.0.0.1", int(sys.argv[1])))
f = s.makefile("rw")
for word in sys.argv[2:]:
    f.write(word + "\\n")
    f.flush()
    print(f.readline(), end="")
s.close()
"""
JAVA_BYTES = """
import java.io.*;
import java.net.*;
public class Client {
    public static void main(String[] a) throws Exception {
        Socket s = new Socket("127.0.0.1", Integer.parseInt(a[0]));
        DataOutputStream out = new DataOutputStream(s.getOutputStream());
        out.writeBytes(a[1] + a[2]);
        BufferedReader in = new BufferedReader(new InputStreamReader(s.getInputStream()));
        System.out.println(in.readLine());
        s.close();
    }
}
"""
JAVA_UDP = """
import java.net.*;
public class Client {
    public static void main(String[] a) throws Exception {
        DatagramSocket s = new DatagramSocket();
        byte[] data = a[1].getBytes("UTF-8"), room = new byte[1024];
        s.send(new DatagramPacket(data, data.length, InetAddress.getByName("127.0.0.1"),
            Integer.parseInt(a[0])));
        DatagramPacket p = new DatagramPacket(room, room.length);
        s.receive(p);
        System.out.println(new String(p.getData(), 0, p.getLength(), "UTF-8"));
    }
}
"""
NODE_TCP = """
const net = require("net");
const s = net.connect(+process.argv[1], "127.0.0.1", () => s.write(process.argv[2]));
s.on("data", (d) => { console.log(d.toString()); s.end(); });
"""
GO_TCP = """
package main
import ("bufio"; "fmt"; "net"; "os")
func main() {
	c, err := net.Dial("tcp", "127.0.0.1:" + os.Args[1])
	if err != nil { panic(err) }
	fmt.Fprintf(c, os.Args[2] + "\\n")
	line, _ := bufio.NewReader(c).ReadString('\\n')
	fmt.Print(line)
}
"""
PERL_LINE = """
use IO::Socket::INET;
my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]) or die;
print $s $ARGV[1]; $s->flush; print scalar <$s>, "\\n";
"""


@pytest.fixture
def ports(daemon):
    """conf/classroom.conf as it is, but for ports that are free."""
    text = (ROOT / "conf/classroom.conf").read_text()
    found = {}
    for kind, name, number in ((socket.SOCK_DGRAM, "udp", 12000), (socket.SOCK_STREAM, "tcp", 12000),
                               (socket.SOCK_STREAM, "oneshot", 12001)):
        with socket.socket(socket.AF_INET, kind) as s:
            s.bind(("", 0))
            found[name] = s.getsockname()[1]
        text, n = re.subn(rf'(name = "{name}".*port = ){number}', rf"\g<1>{found[name]}", text)
        assert n == 1
    text += 'user = "nobody"; group = "nogroup"; log = { target = "stderr"; format = "json"; };\n'
    text = text.replace("log = { access = true; };", "", 1)
    text = text.replace('format = "json"', 'format = "json"; access = true')
    found["daemon"] = daemon(text=text)
    return found


def need(tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture
def compiled(tmp_path):
    def compile_c(text):
        need("gcc")
        (tmp_path / "client.c").write_text(text)
        run("gcc", "-o", tmp_path / "client", tmp_path / "client.c")
        return tmp_path / "client"

    return compile_c


@pytest.mark.parametrize("text, port", [(C_TCP, "tcp"), (C_TCP, "oneshot"), (C_UDP, "udp")])
def test_c(ports, compiled, text, port):
    assert run(compiled(text), ports[port], TEXT) == LOUD


def test_python_that_reads_until_the_server_closes(ports):
    assert run("python3", "-c", PYTHON_TO_THE_END, ports["oneshot"], TEXT) == LOUD


@pytest.mark.parametrize("words", [["one", "zwölf"], [TEXT] * 50])
def test_python_line_by_line(ports, words):
    assert run("python3", "-c", PYTHON_LINES, ports["tcp"], *words) == "\n".join(
        word.upper() for word in words)


def test_perl_that_sends_no_line_end_and_waits_for_a_line(ports):
    need("perl")
    assert run("perl", "-e", PERL_LINE, ports["oneshot"], "hello") == "HELLO"


@pytest.fixture
def java(tmp_path):
    def compile_java(text):
        need("javac")
        (tmp_path / "Client.java").write_text(text)
        run("javac", "-d", tmp_path, tmp_path / "Client.java")
        return ["java", "-cp", tmp_path, "Client"]

    return compile_java


@pytest.mark.parametrize("port, end", [("tcp", "\n"), ("oneshot", "")])
def test_java_that_writes_byte_by_byte(ports, java, port, end):
    assert run(*java(JAVA_BYTES), ports[port], "hello, you", end) == "HELLO, YOU"


def test_java_datagram(ports, java):
    assert run(*java(JAVA_UDP), ports["udp"], TEXT) == LOUD


def test_node(ports):
    need("node")
    assert run("node", "-e", NODE_TCP, ports["tcp"], TEXT) == LOUD


def test_go(ports, tmp_path):
    need("go")
    (tmp_path / "client.go").write_text(GO_TCP)
    assert run("go", "run", tmp_path / "client.go", ports["tcp"], TEXT) == LOUD


def ask_often(port, count):
    """A student's program in a loop: text that comes back as it was, among it."""
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        for i in range(count):
            line = f"{i} line\n".encode()
            s.sendall(line)
            assert read_exactly(s, len(line)) == line.upper()


def test_thirty_at_once_behind_one_address(ports):
    with ThreadPoolExecutor(30) as pool:
        for done in [pool.submit(ask_often, ports["tcp"], 20) for _ in range(30)]:
            done.result()


def test_digits_by_datagram_are_answered(ports):
    """Thirty who count to ten at once: what comes back is what was sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.connect(("127.0.0.1", ports["udp"]))
        for i in range(300):
            s.send(b"%d" % i)
            assert s.recv(100) == b"%d" % i


def test_shapes_that_cannot_be_served_come_back_as_the_page_says(ports):
    text = (ROOT / "docs/classroom.md").read_text()
    with socket.create_connection(("127.0.0.1", ports["tcp"]), 20) as s:
        s.sendall((100).to_bytes(4, "big"))
        assert int.from_bytes(read_exactly(s, 4), "big") == 68
        cyrillic = "привет".encode("utf-16-le")
        s.sendall(cyrillic)
        assert read_exactly(s, len(cyrillic)) == cyrillic
    assert "a length of 100 is the letter `d`; it comes back as `D`, which is 68" in text

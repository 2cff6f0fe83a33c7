// SPDX-License-Identifier: Apache-2.0

// The servers of Go's own library, a goroutine for each connection: server PORT [CERTIFICATE KEY].
package main

import (
	"bytes"
	"crypto/tls"
	"log"
	"net"
	"os"
)

func serve(peer net.Conn) {
	defer peer.Close()
	room := make([]byte, 65536)
	for {
		n, err := peer.Read(room)
		if err != nil {
			return
		}
		if _, err = peer.Write(bytes.ToUpper(room[:n])); err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 2 {
		pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	for {
		peer, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(peer)
	}
}

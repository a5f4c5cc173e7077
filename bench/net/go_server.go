// Peer: Go's net and net/http.
//
//	go_server echo PORT
//	go_server http PORT TEXT
//
// The latter answers every request with 200 and TEXT.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func echo(peer net.Conn) {
	defer peer.Close()
	buffer := make([]byte, 16384)
	for {
		n, err := peer.Read(buffer)
		if err != nil {
			return
		}
		if _, err := peer.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serveEcho(door net.Listener) {
	for {
		peer, err := door.Accept() // sets TCP_NODELAY
		if err != nil {
			log.Fatal(err)
		}
		go echo(peer)
	}
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go_server echo|http PORT [TEXT]")
	}
	door, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if os.Args[1] == "echo" {
		serveEcho(door)
	}
	text := os.Args[3]
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, text)
	})
	log.Fatal(http.Serve(door, nil))
}

// Command embed-go is an answering machine: a Go program with a daemon inside. Calls of contacts are answered with a tone
// and recorded into a folder, files of contacts are taken into it.
//
//	embed-go JID FOLDER [HOST:PORT CAFILE] < password
//
// HOST:PORT and the certificates in CAFILE are for a server that the DNS does not name.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/jid"
)

func main() {
	account, folder, err := arguments()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = run(ctx, account, folder)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "embed-go:", err)
		os.Exit(1)
	}
}

func arguments() (a daemon.Account, folder string, err error) {
	if len(os.Args) != 3 && len(os.Args) != 5 {
		return a, "", errors.New("usage: embed-go JID FOLDER [HOST:PORT CAFILE] < password")
	}
	address, err := jid.Parse(os.Args[1])
	if err != nil {
		return a, "", err
	}
	password, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return a, "", fmt.Errorf("no password: %w", err)
	}
	a = daemon.Account{JID: address.Bare(), FailFast: true, Password: func() (string, error) { return strings.TrimSpace(password), nil }}
	if len(os.Args) == 5 {
		pem, err := os.ReadFile(os.Args[4])
		if err != nil {
			return a, "", err
		}
		if a.RootCAs = x509.NewCertPool(); !a.RootCAs.AppendCertsFromPEM(pem) {
			return a, "", fmt.Errorf("there is no certificate in %s", os.Args[4])
		}
		a.Connect = os.Args[3]
	}
	folder, err = filepath.Abs(os.Args[2])
	return a, folder, err
}

// run serves calls and files until ctx ends, or the first login fails.
func run(ctx context.Context, account daemon.Account, folder string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := daemon.New(daemon.Config{Accounts: []daemon.Account{account}, Log: log})
	if err != nil {
		return err
	}
	sub, err := d.Subscribe(0) // before Run, so that nothing is missed
	if err != nil {
		return errors.Join(err, d.Close())
	}
	defer sub.Close()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- d.Run(ctx)
		cancel()
	}()
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			break
		}
		if err := serve(ctx, d, e, folder); err != nil {
			log.Warn("not served", "peer", e.GetPeer(), "err", err) // the caller has hung up meanwhile, say
		}
	}
	cancel()
	return errors.Join(<-ended, d.Close())
}

// serve does what an event asks for. Peers choose session ids and names: they are no part of a path, and are quoted.
func serve(ctx context.Context, d *daemon.Daemon, e *jingledv1.Event, folder string) error {
	var err error
	switch body := e.GetBody().(type) {
	case *jingledv1.Event_AccountChanged:
		if body.AccountChanged.GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE {
			fmt.Println("online")
		}
	case *jingledv1.Event_CallIncoming:
		record := filepath.Join(folder, time.Now().Format("message-20060102-150405.000.ogg"))
		_, err = d.AnswerCall(ctx, &jingledv1.AnswerCallRequest{Account: e.GetAccount(), Sid: e.GetSid(),
			Media: &jingledv1.Media{AudioIn: "tone:440", Record: record}})
	case *jingledv1.Event_CallEnded:
		fmt.Printf("%s has spoken for %.1f s\n", e.GetPeer(), body.CallEnded.GetDuration().AsDuration().Seconds())
	case *jingledv1.Event_TransferOffered:
		_, err = d.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Account: e.GetAccount(), Sid: e.GetSid(), Dir: folder})
	case *jingledv1.Event_TransferDone:
		fmt.Printf("%s has sent %q\n", e.GetPeer(), body.TransferDone.GetPath())
	}
	return err
}

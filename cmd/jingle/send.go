package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// roads are the values of --via.
var roads = map[string]jingledv1.Via{
	"auto": jingledv1.Via_VIA_UNSPECIFIED, "s5b": jingledv1.Via_VIA_S5B, "ibb": jingledv1.Via_VIA_IBB,
	"datachannel": jingledv1.Via_VIA_DATACHANNEL, "si": jingledv1.Via_VIA_SI, "http": jingledv1.Via_VIA_HTTP,
}

// folderForms are the values of --folder-as.
var folderForms = map[string]jingledv1.FolderForm{
	"auto": jingledv1.FolderForm_FOLDER_FORM_UNSPECIFIED, "archive": jingledv1.FolderForm_FOLDER_FORM_ARCHIVE,
	"files": jingledv1.FolderForm_FOLDER_FORM_FILES,
}

// road reads --via.
func road(via string) (jingledv1.Via, error) {
	if r, ok := roads[via]; ok {
		return r, nil
	}
	return 0, exitf(exitUsage, "--via is auto, s5b, ibb, datachannel, si or http, not %q", via)
}

func newSend(g *global) *cobra.Command {
	var via, folderAs string
	var atOnce int
	req := &jingledv1.SendFileRequest{}
	c := &cobra.Command{
		Use:   "send JID FILE...",
		Short: "Send files and folders",
		Long: `Offers files to a person, or to one device of theirs (a JID with a resource), a few at once, and sends each one that is
accepted. A folder goes as one archive (tar) to clients that unpack it, as jingle and jingled do. To others its files go one by one
if they are not more than 32, in one session where the client can do that, and else as an archive too.`,
		Example: `  jingle send bob@example.org holiday.jpg
  jingle send bob@example.org photos/
  jingle send --via ibb bob@example.org/phone notes.txt`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.GetRequireEncryption() && req.GetNoEncryption() {
				return exitf(exitUsage, "--require-encryption and --no-encryption do not go together")
			}
			if atOnce < 1 || atOnce > 16 {
				return exitf(exitUsage, "--at-once is a number from 1 to 16")
			}
			road, err := road(via)
			if err != nil {
				return err
			}
			form, ok := folderForms[folderAs]
			if !ok {
				return exitf(exitUsage, "--folder-as is auto, archive or files, not %q", folderAs)
			}
			req.FolderForm = form
			if _, err := addresses(args[:1]); err != nil {
				return err
			}
			var paths []string
			for _, f := range args[1:] {
				path, err := absolute(f)
				if err != nil {
					return err
				}
				st, err := os.Stat(path)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				if !st.Mode().IsRegular() && !st.IsDir() {
					return exitf(exitUsage, "%s is neither a file nor a folder", f)
				}
				paths = append(paths, path)
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				req.Peer, req.Via = args[0], road
				return runSend(ctx, s, p, g.account, paths, req, atOnce)
			})
		},
	}
	c.Flags().StringVar(&via, "via", "auto", "`ROAD` to take: auto, s5b, ibb, datachannel, si, or http, by which the server keeps a copy")
	c.Flags().StringVar(&req.Description, "description", "", "`TEXT` to offer the file with")
	c.Flags().BoolVar(&req.RequireEncryption, "require-encryption", false, "send nothing that servers and others on the way could read")
	c.Flags().BoolVar(&req.NoEncryption, "no-encryption", false, "send in the clear, even where both sides can encrypt")
	c.Flags().BoolVar(&req.NoThumbnail, "no-thumbnail", false, "send no small picture along with an image")
	c.Flags().StringVar(&folderAs, "folder-as", "auto", "send folders as `FORM`: archive, files (at most 32), or auto, as suits the other side")
	c.Flags().IntVar(&atOnce, "at-once", 4, "offer up to `N` files at once")
	return c
}

// runSend sends files, so many at once. When one fails, no further ones are offered, and its error is returned.
func runSend(ctx context.Context, s *session, p *printer, account string, paths []string, req *jingledv1.SendFileRequest, atOnce int) error {
	w, err := s.watch(ctx)
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	account, err = s.online(ctx, w, account)
	if err != nil {
		return err
	}
	var failed error
	going := make(map[string]bool)
	for {
		for len(paths) > 0 && len(going) < atOnce && failed == nil {
			req.Account, req.Path = account, paths[0]
			res, err := s.Transfers.SendFile(ctx, req)
			if err != nil {
				failed = s.cause(err)
				break
			}
			for _, sid := range append(res.GetSids(), res.GetSid()) { // a folder may be several
				p.names[sid] = paths[0]
				going[sid] = true
			}
			paths = paths[1:]
		}
		if len(going) == 0 {
			return failed
		}
		e, err := s.next(ctx, w)
		if err != nil {
			return s.abandon(ctx, account, going, err)
		}
		if e.GetAccount() != account || !going[e.GetSid()] {
			continue
		}
		p.show(e)
		if ended, err := endOf(e); ended {
			delete(going, e.GetSid())
			if failed == nil {
				failed = err
			}
		}
	}
}

// abandon ends transfers when the command is interrupted, which is its error then.
func (s *session) abandon(ctx context.Context, account string, going map[string]bool, err error) error {
	if ctx.Err() == nil {
		return err
	}
	err = exitf(exitFailed, "interrupted")
	for sid := range going {
		_, e := s.Transfers.EndTransfer(context.WithoutCancel(ctx), &jingledv1.EndTransferRequest{Account: account, Sid: sid})
		err = errors.Join(err, e)
	}
	return err
}

// followTransfer shows a transfer until it ends. An interrupt cancels it. Events of others are given to other, if it is
// set.
func (s *session) followTransfer(ctx context.Context, w *watcher, p *printer, account, sid string, other func(*jingledv1.Event)) (*jingledv1.TransferDone, error) {
	for {
		e, err := s.next(ctx, w)
		if err != nil {
			return nil, s.abandon(ctx, account, map[string]bool{sid: true}, err)
		}
		if e.GetSid() != sid || e.GetAccount() != account {
			if other != nil {
				other(e)
			}
			continue
		}
		p.show(e)
		if ended, err := endOf(e); ended {
			return e.GetTransferDone(), err
		}
	}
}

func endOfTransfer(t *jingledv1.TransferFailed) error {
	text := t.GetReason()
	if t.GetText() != "" {
		text = clean(t.GetText()) + " (" + text + ")"
	}
	code := exitFailed
	switch t.GetReason() {
	case "busy", "decline", "gone", "unsupported-applications", "unsupported-transports", "alternative-session", "connectivity-error":
		code = exitPeer
	case "media-error", "security-error": // a file that is too large for the peer, or not as it wants it encrypted
		if t.GetByPeer() {
			code = exitPeer
		}
	case "timeout", "expired":
		code = exitTimeout
	}
	return &exitError{code, fmt.Errorf("the transfer failed: %s", text)}
}

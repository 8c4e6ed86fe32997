package testkit

import (
	"fmt"
	"testing"
)

// UploadJID is the service for files of the servers of [Uploading].
const UploadJID = "upload." + Domain

// Uploading starts a server that stores files for others (XEP-0363), by HTTPS at localhost. limit is the size of the
// largest file, in bytes.
func Uploading(t testing.TB, kind Kind, limit int) *Server {
	t.Helper()
	port := FreePorts(t, 1)[0]
	if kind == KindEjabberd {
		return EjabberdWith(t, EjabberdConfig{
			Listen: fmt.Sprintf(`  - port: %d
    ip: "127.0.0.1"
    module: ejabberd_http
    tls: true
    request_handlers:
      "/upload": mod_http_upload
`, port),
			Modules: fmt.Sprintf(`  mod_http_upload: {hosts: [%q], docroot: %q, put_url: "https://localhost:%d/upload", max_size: %d, access: all}
`, UploadJID, t.TempDir(), port, limit),
		})
	}
	return ProsodyWith(t, ProsodyConfig{
		Global: fmt.Sprintf("https_ports = { %d }\nhttps_interfaces = { \"127.0.0.1\" }\n", port),
		Host:   fmt.Sprintf("Component %q \"http_file_share\"\n  http_host = \"localhost\"\n  http_file_share_size_limit = %d\n", UploadJID, limit),
	})
}

package testkit_test

import (
	"testing"

	"github.com/jingled/jingled/internal/testkit"
)

func TestEjabberd(t *testing.T) { judge(t, testkit.Ejabberd(t)) }

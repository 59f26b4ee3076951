package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mixed returns the places where code has && beside || without parentheses.
func mixed(files *token.FileSet, file *ast.File) (places []token.Position) {
	ast.Inspect(file, func(n ast.Node) bool {
		or, ok := n.(*ast.BinaryExpr)
		if !ok || or.Op != token.LOR {
			return true
		}
		for _, side := range []ast.Expr{or.X, or.Y} {
			if and, ok := side.(*ast.BinaryExpr); ok && and.Op == token.LAND {
				places = append(places, files.Position(and.OpPos))
			}
		}
		return true
	})
	return places
}

// TestConditionsHaveParentheses checks that no reader has to know that && binds more tightly than
// ||.
func TestConditionsHaveParentheses(t *testing.T) {
	const top = "../../.."
	read, files := 0, token.NewFileSet()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != top:
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		read++
		for _, place := range mixed(files, file) {
			t.Errorf("%v: && beside ||: use parentheses, or give a part a name", place)
		}
		return nil
	})
	if err != nil || read < 100 {
		t.Errorf("%d files were read, %v", read, err)
	}
}

func TestMixed(t *testing.T) {
	const code = "package a\nvar (\n\ta = x && y || z\n\tb = (x && y) || z\n\tc = x && (y || z)\n\td = x || f(y && z)\n\te = x || y && z\n)\n"
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, place := range mixed(files, file) {
		lines = append(lines, place.Line)
	}
	if want := []int{3, 7}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}

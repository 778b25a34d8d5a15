module example.com/ipcsuite/fifo-client

go 1.26.0

require (
	example.com/ipcsuite/internal v0.0.0
	example.com/ipcsuite/pkg v0.0.0
	github.com/urfave/cli/v2 v2.27.7
	golang.org/x/sys v0.50.0
)

require (
	github.com/cpuguy83/go-md2man/v2 v2.0.7 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/prometheus/procfs v0.23.0 // indirect
	github.com/rs/zerolog v1.35.1 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/xrash/smetrics v0.0.0-20240521201337-686a1a2994c1 // indirect
)

replace (
	example.com/ipcsuite/internal => ../internal
	example.com/ipcsuite/pkg => ../pkg
)

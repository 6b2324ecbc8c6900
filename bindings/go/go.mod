module github.com/lockstep-sequencer/lockstep/bindings/go

go 1.19

package main

import "context"

func measureLatency(ctx context.Context, b *bench) ([]result, error) { return nil, nil }

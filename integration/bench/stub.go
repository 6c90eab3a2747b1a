package main

import "context"

func measureLatency(ctx context.Context, b *bench) ([]result, error) { return nil, nil }
func measureOneScope(ctx context.Context, b *bench) ([]result, error) { return nil, nil }
func measureManyScopes(ctx context.Context, b *bench) ([]result, error) { return nil, nil }
func measureSingleEvents(ctx context.Context, b *bench) ([]result, error) { return nil, nil }
func measureIdle(ctx context.Context, b *bench) ([]result, error) { return nil, nil }

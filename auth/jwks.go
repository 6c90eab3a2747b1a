package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
)

// maxKeys bounds a set, for a token without a kid is tried with every key that is for its algorithm.
const maxKeys = 100

// JWKS reads a JSON Web Key Set (RFC 7517, section 5), as a file holds it. A key is for the algorithms that its type and
// size allow or, where it has one, for its alg only. Keys that are for something else than signatures, and those of kinds
// that no algorithm here knows, are passed over. Nothing that a key refers to (x5u) is fetched.
func JWKS(document []byte) (Keys, error) {
	keys, err := parseJWKS(document)
	if err != nil {
		return nil, fmt.Errorf("read JWKS: %w", err)
	}
	return keys, nil
}

// parseJWKS returns at least one key. An error holds nothing of the document.
func parseJWKS(document []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(document, &set) != nil {
		return nil, errors.New("it is no JSON object with a list of keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it holds %d keys: %d are allowed", len(set.Keys), maxKeys)
	}
	var keys keySet
	for _, document := range set.Keys {
		if k, ok := parseJWK(document); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys is one that tokens are verified with", len(set.Keys))
	}
	return keys, nil
}

func parseJWK(document []byte) (key, bool) {
	var m jwkset.JWKMarshal
	if json.Unmarshal(document, &m) != nil {
		return key{}, false
	}
	if (m.USE != "" && m.USE != jwkset.UseSig) || (m.KEYOPS != nil && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify)) {
		return key{}, false
	}
	// Only what the public key is made of: certificates might be fetched, and private keys are not ours to have.
	jwk, err := jwkset.NewJWKFromMarshal(
		jwkset.JWKMarshal{KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, N: m.N, E: m.E, K: m.K},
		jwkset.JWKMarshalOptions{Private: m.KTY == jwkset.KtyOct}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, false
	}
	k, err := newKey(jwk.Key())
	if err != nil {
		return key{}, false
	}
	k.id = m.KID
	if m.ALG != "" {
		k.algorithms = slices.DeleteFunc(k.algorithms, func(a string) bool { return !sameAlgorithm(a, m.ALG.String()) })
	}
	return k, len(k.algorithms) > 0
}

// public returns the keys that are not secrets.
func (s keySet) public() keySet {
	return slices.DeleteFunc(s, func(k key) bool {
		_, secret := k.material.([]byte)
		return secret
	})
}

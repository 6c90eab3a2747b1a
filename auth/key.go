package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Keys are the keys that tokens may be signed with: a Secret, the PublicKeys of a PEM file, a JWKS, or a RemoteJWKS.
// They may be used by many goroutines at once.
type Keys interface {
	// candidates returns the keys that may have signed a token with that kid, empty where the token names none, and that
	// algorithm. The error is a *Denied; there is one where there is no key.
	candidates(ctx context.Context, kid, algorithm string) ([]any, error)
	// usable returns an error where no key can ever fit the algorithm.
	usable(algorithm string) error
}

// algorithms are those of RFC 7518, section 3.1, RFC 8037 and RFC 9864 that can be listed. "none" is not among them.
func algorithms() []string {
	return []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", eddsa, ed25519Alg,
	}
}

// Two names of one algorithm: EdDSA (RFC 8037), which here is of the curve Ed25519 only, and the name that says so (RFC 9864,
// section 2.2). Whichever of them a token, a key or the options use, it means both.
const (
	eddsa      = "EdDSA"
	ed25519Alg = "Ed25519"
)

func sameAlgorithm(a, b string) bool {
	return a == b || (a == eddsa || a == ed25519Alg) && (b == eddsa || b == ed25519Alg)
}

// ed25519Method is the library's EdDSA under its other name, which the library does not know.
type ed25519Method struct{ *jwt.SigningMethodEd25519 }

// Alg implements jwt.SigningMethod.
func (ed25519Method) Alg() string { return ed25519Alg }

// key is one key and the algorithms that it is for. A key is never tried with any other: that a public key is taken for
// the secret of an HMAC cannot happen.
type key struct {
	id         string
	anyID      bool // the key fits whatever kid a token names, for it came without one
	algorithms []string
	material   any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// newKey says what a key is for.
func newKey(material any) (key, error) {
	switch k := material.(type) {
	case []byte:
		// RFC 7518, section 3.2: a key of the same size as the hash output or larger must be used.
		fits := []string{"HS256", "HS384", "HS512"}[:max(0, min(len(k)/16-1, 3))]
		if len(fits) == 0 {
			return key{}, fmt.Errorf("the secret has %d bytes, and HS256 needs at least 32: make one with openssl rand -base64 48", len(k))
		}
		return key{algorithms: fits, material: k}, nil
	case *rsa.PublicKey:
		// RFC 7518, section 3.3: 2048 bits or larger must be used. Very large ones make each verification slow.
		if bits := k.N.BitLen(); bits < 2048 || bits > 8192 || k.E < 3 || k.E%2 == 0 {
			return key{}, fmt.Errorf("an RSA key has %d bits and the exponent %d: use 2048 to 8192 bits and 65537", bits, k.E)
		}
		return key{algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, material: k}, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return key{algorithms: []string{"ES256"}, material: k}, nil
		case elliptic.P384():
			return key{algorithms: []string{"ES384"}, material: k}, nil
		case elliptic.P521():
			return key{algorithms: []string{"ES512"}, material: k}, nil
		}
		return key{}, errors.New("an EC key is of another curve: use P-256, P-384 or P-521")
	case ed25519.PublicKey:
		return key{algorithms: []string{eddsa, ed25519Alg}, material: k}, nil
	}
	return key{}, fmt.Errorf("%T is no key that tokens are verified with", material)
}

// keySet is a fixed set of keys.
type keySet []key

// Format keeps secrets out of whatever fmt writes, options included.
func (s keySet) Format(state fmt.State, _ rune) { _, _ = fmt.Fprintf(state, "%d keys", len(s)) }

func (s keySet) candidates(_ context.Context, kid, algorithm string) ([]any, error) {
	if found := s.find(kid, algorithm); len(found) > 0 {
		return found, nil
	}
	return nil, deny(UnknownKey)
}

func (s keySet) find(kid, algorithm string) (found []any) {
	for _, k := range s {
		if (kid == "" || k.anyID || k.id == kid) && slices.Contains(k.algorithms, algorithm) {
			found = append(found, k.material)
		}
	}
	return found
}

func (s keySet) usable(algorithm string) error {
	if len(s.find("", algorithm)) > 0 {
		return nil
	}
	return fmt.Errorf("none of the keys is for the algorithm %s", algorithm)
}

// Secret is the shared secret of HS256, HS384 and HS512: 32, 48 or 64 bytes at least.
func Secret(secret []byte) (Keys, error) {
	k, err := newKey(slices.Clone(secret))
	if err != nil {
		return nil, err
	}
	k.anyID = true
	return keySet{k}, nil
}

// PublicKeys reads the public keys of a PEM file: PKIX or PKCS #1, one block for each key. Whatever kid a token names,
// every key that is for its algorithm may have signed it.
func PublicKeys(file []byte) (Keys, error) {
	var keys keySet
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		var material any
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			material, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			material, err = x509.ParsePKCS1PublicKey(block.Bytes)
		default:
			return nil, fmt.Errorf("read public keys: the file holds a %s: write only blocks of the type PUBLIC KEY", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("read public keys: %w", err)
		}
		k, err := newKey(material)
		if err != nil {
			return nil, fmt.Errorf("read public keys: %w", err)
		}
		k.anyID = true
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("read public keys: the file holds no PEM block of the type PUBLIC KEY")
	}
	return keys, nil
}

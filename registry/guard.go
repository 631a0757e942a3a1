package registry

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// guard decides which addresses a host may resolve to. Names of images come from strangers, and so does DNS: the guard looks at the
// address that is about to be dialled, not at the name, so that no second lookup can give another answer.
//
// Refused unless configured: link-local addresses and the metadata services of clouds, and loopback. Refused always: unspecified
// and multicast addresses. IPv4 addresses inside IPv6 ones are judged as what they are. Private networks are open: that is where
// registries live.
type guard struct {
	host         string // for messages
	loopback     bool   // loopback may be dialled
	linkLocal    bool   // link-local and metadata services may be dialled
	onlyLoopback bool   // nothing else may be dialled: plain HTTP was granted because the host is written as loopback
}

// AddressError says that a host resolves to an address that must not be dialled.
type AddressError struct {
	Host    string
	Address string
	Reason  string
}

// Error implements error.
func (e *AddressError) Error() string {
	return fmt.Sprintf("%s: not connecting to %s: %s", e.Host, e.Address, e.Reason)
}

// control is called by the dialler with each resolved address before it connects (see net.Dialer).
func (g guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return &AddressError{g.host, address, "it is no IP address"}
	}
	if reason := g.refuse(target.Addr()); reason != "" {
		return &AddressError{g.host, target.Addr().String(), reason}
	}
	return nil
}

// refuse returns why addr must not be dialled, or "".
func (g guard) refuse(addr netip.Addr) string {
	for _, a := range append(embedded(addr), addr.WithZone("").Unmap()) {
		switch {
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == broadcast:
			return "it is no address of a single host"
		case a.IsLoopback() && !g.loopback:
			return "it is a loopback address; if that is meant, set insecureAllowLoopback for this host in the file of --registries"
		case isLinkLocal(a) && !g.linkLocal:
			return "it is a link-local or metadata address; if that is meant, set insecureAllowLinkLocal for this host"
		case !a.IsLoopback() && g.onlyLoopback:
			return "it is no loopback address, so plain HTTP is not used; set insecurePlainHTTP for this host if that is meant"
		}
	}
	return ""
}

// Addresses that netip has no words for.
var (
	broadcast     = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	thisNetwork   = netip.MustParsePrefix("0.0.0.0/8")       // RFC 1122: Linux takes it for this host
	metadataAWS6  = netip.MustParseAddr("fd00:ec2::254")     // metadata service of AWS over IPv6
	metadataAli   = netip.MustParseAddr("100.100.100.200")   // metadata service of Alibaba Cloud
	metadataAzure = netip.MustParseAddr("168.63.129.16")     // WireServer of Azure
	metadataGCP6  = netip.MustParseAddr("fd20:ce::254")      // metadata service of Google Cloud over IPv6
	sixToFour     = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo        = netip.MustParsePrefix("2001::/32")       // RFC 4380
	nat64         = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64Local    = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	compatible    = netip.MustParsePrefix("::/96")           // RFC 4291, IPv4-compatible, deprecated
	translated    = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, IPv4-translated
	siteLocal     = netip.MustParsePrefix("fec0::/10")       // RFC 3879, deprecated
)

func isLinkLocal(a netip.Addr) bool {
	switch a {
	case metadataAWS6, metadataAli, metadataAzure, metadataGCP6:
		return true
	}
	return a.IsLinkLocalUnicast() || thisNetwork.Contains(a) || siteLocal.Contains(a)
}

// embedded returns the IPv4 addresses that a router or this host's kernel may make of an IPv6 address.
func embedded(addr netip.Addr) []netip.Addr {
	if !addr.Is6() || addr.Is4In6() || addr.IsUnspecified() || addr.IsLoopback() {
		return nil
	}
	a, b := addr.WithZone(""), addr.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case sixToFour.Contains(a):
		return []netip.Addr{at(2)}
	case nat64.Contains(a), compatible.Contains(a), translated.Contains(a):
		return []netip.Addr{at(12)}
	case nat64Local.Contains(a):
		// RFC 6052 section 2.2: the place depends on the length of the network's own prefix, which is not known here.
		places := []netip.Addr{at(12), netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]}), netip.AddrFrom4([4]byte{b[7], b[9], b[10], b[11]}), at(9)}
		return slices.DeleteFunc(places, thisNetwork.Contains) // the unused places are zero
	case teredo.Contains(a):
		client := [4]byte{}
		binary.BigEndian.PutUint32(client[:], ^binary.BigEndian.Uint32(b[12:]))
		return []netip.Addr{at(4), netip.AddrFrom4(client)}
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // RFC 5214, ISATAP
		return []netip.Addr{at(12)}
	}
	return nil
}

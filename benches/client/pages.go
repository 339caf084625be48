package client

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"

	"pakhuis/benches/peers"
)

var formToken = regexp.MustCompile(`name="token" value="([^"]*)"`)

// Browser signs in on the pages of ours, and gives what a browser would read them with.
func (client *Client) Browser() (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Transport: client.http.Transport, Jar: jar}
	response, err := browser.Get(client.base + "/ui/login")
	if err != nil {
		return nil, err
	}
	form, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	token := formToken.FindSubmatch(form)
	if token == nil {
		return nil, fmt.Errorf("no token in the sign-in form")
	}
	fields := url.Values{"username": {peers.User}, "password": {peers.Password}, "token": {string(token[1])}}
	response, err = browser.PostForm(client.base+"/ui/login", fields)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sign-in: %s", response.Status)
	}
	return browser, nil
}

// Page reads one page of ours to its end.
func (client *Client) Page(browser *http.Client, path string) error {
	response, err := browser.Get(client.base + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
